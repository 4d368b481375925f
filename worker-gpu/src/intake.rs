//! From the broker to the engine and back.
//!
//! Every delivery is one task (`job`) and is settled exactly once, after its last frame was confirmed. The prefetch is
//! the engine's slots plus a little, so that no job waits here that another worker could start.

mod cancels;
mod job;
mod replies;
mod stages;

use crate::{
    config::Config,
    driver::{self, Driver},
    engine::{Engine, EngineError},
};
use bytes::Bytes;
use cancels::Cancels;
use protocol::{WorkerId, topology};
use runtime::{BrokerError, Consumer, Context, Delivery};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Jobs that are held ready for the next free slot.
const SPARE: usize = 2;
/// What handing a job back may take.
const HAND_BACK: Duration = Duration::from_secs(5);

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The broker cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The engine failed; its jobs went back to the queue.
    #[error("the inference engine stopped: {0}")]
    Engine(EngineError),
    /// The engine's thread could not be started.
    #[error("the inference engine's thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// What the tasks of all jobs share.
struct Shared {
    context: Context,
    driver: Driver,
    worker: WorkerId,
    model: String,
    coalesce: Duration,
    cancels: Cancels,
    /// Cancelled when running jobs are to be handed back.
    hand_back: CancellationToken,
}

/// Answers inference jobs with `engine` until `context.stop`; then running answers get `drain_ms` to finish.
///
/// An engine that fails ends the worker: its jobs go back to the queue for another one, and the caller should exit.
pub async fn run(config: Config, engine: Box<dyn Engine>, worker: WorkerId, context: Context) -> Result<(), RunError> {
    let prefetch = u16::try_from(engine.capacity() + SPARE).unwrap_or(u16::MAX);
    let cancels = context.broker.subscribe(topology::CANCEL).await?;
    let consumer = context.broker.consume(topology::INFERENCE, prefetch).await?;
    let model = engine.model().to_string();
    let (driver, engine_end) = driver::start(engine).map_err(RunError::Thread)?;
    tracing::info!(%worker, model, prefetch, "taking inference jobs");
    let shared = Shared {
        context,
        driver,
        worker,
        model,
        coalesce: Duration::from_millis(config.coalesce_ms),
        cancels: Cancels::default(),
        hand_back: CancellationToken::new(),
    };
    let mut intake =
        Intake { shared: Arc::new(shared), jobs: JoinSet::new(), cancels, consumer, handed_back: Vec::new() };
    let ended = intake.take_jobs(engine_end).await;
    // Jobs of a failed engine end by themselves.
    let grace = if ended.is_ok() { Duration::from_millis(config.drain_ms) } else { HAND_BACK };
    intake.drain(grace).await;
    ended
}

struct Intake {
    shared: Arc<Shared>,
    jobs: JoinSet<Option<Delivery>>,
    cancels: mpsc::Receiver<Bytes>,
    consumer: Consumer,
    /// Unsettled, for the broker to take back when the consumer ends; declared, and so dropped, after it.
    handed_back: Vec<Delivery>,
}

impl Intake {
    async fn take_jobs(&mut self, mut engine_end: oneshot::Receiver<EngineError>) -> Result<(), RunError> {
        let stop = self.shared.context.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Ok(error) = &mut engine_end => return Err(RunError::Engine(error)),
                Some(body) = self.cancels.recv() => self.shared.cancels.broadcast(&body),
                Some(ended) = self.jobs.join_next() => self.ended(ended),
                delivery = self.consumer.next() => match delivery {
                    Some(delivery) => { self.jobs.spawn(job::run(delivery, self.shared.clone())); }
                    None => return Err(BrokerError::Unavailable("the queue's subscription ended".into()).into()),
                },
            }
        }
    }

    /// Lets running jobs finish within `grace`, then hands them back. The consumer lives on meanwhile, or the broker
    /// would give the unsettled jobs to others.
    async fn drain(&mut self, grace: Duration) {
        tracing::info!(running = self.jobs.len(), "no new inference jobs are taken");
        if timeout(grace, self.finish()).await.is_err() {
            self.shared.hand_back.cancel();
            if timeout(HAND_BACK, self.finish()).await.is_err() {
                tracing::warn!(left = self.jobs.len(), "jobs are left to the broker's redelivery");
            }
        }
    }

    async fn finish(&mut self) {
        loop {
            tokio::select! {
                ended = self.jobs.join_next() => match ended {
                    Some(ended) => self.ended(ended),
                    None => return,
                },
                Some(body) = self.cancels.recv() => self.shared.cancels.broadcast(&body),
            }
        }
    }

    fn ended(&mut self, job: Result<Option<Delivery>, JoinError>) {
        match job {
            Ok(delivery) => self.handed_back.extend(delivery),
            Err(error) => tracing::error!(%error, "a job's task failed; the broker will deliver the job again"),
        }
    }
}
