//! From the broker to the engine and back.
//!
//! Every delivery is one task (`job`) and is settled exactly once, after its last frame was confirmed. Jobs come from the
//! shared queue and from the worker's own, to which sessions send whose prefix is in its cache. Both share as many seats
//! (`seats`) as the engine has slots plus a little, so that no job waits here that another worker could start.

mod cancels;
mod job;
mod replies;
mod seats;
mod stages;

use crate::{
    config::Config,
    device::Device,
    driver::Ended,
    engine::{Engine, EngineError},
    fleet::Fleet,
};
use bytes::Bytes;
use cancels::Cancels;
use metrics::gauge;
use protocol::{
    WorkerId,
    topology::{self, OwnQueue},
};
use runtime::{BrokerError, Consumer, Context, Delivery, metric};
use seats::{Origin, Seats};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long a job without a seat stays, where the configuration does not say.
const PATIENCE: Duration = Duration::from_millis(1500);
/// What handing a job back may take.
const HAND_BACK: Duration = Duration::from_secs(5);

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The broker cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The engine, or that of the last device that was left, failed; its jobs went back to the queue.
    #[error("the inference engine stopped: {0}")]
    Engine(EngineError),
    /// The engine's thread could not be started.
    #[error("the inference engine's thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// What the tasks of all jobs share.
struct Shared {
    context: Context,
    fleet: Fleet,
    worker: WorkerId,
    model: String,
    coalesce: Duration,
    cancels: Cancels,
    seats: Seats,
    /// Cancelled when running jobs are to be handed back.
    hand_back: CancellationToken,
}

/// Answers inference jobs with `engines`, one per device, until `context.stop`; then running answers get `drain_ms` to
/// finish.
///
/// An engine that fails is taken out and its jobs go back to the queue. The failure of the last one ends the worker, and the
/// caller should exit.
pub async fn run(
    config: Config,
    engines: Vec<Box<dyn Engine>>,
    worker: WorkerId,
    context: Context,
) -> Result<(), RunError> {
    let ttl = config.affinity_ttl_ms;
    let patience = if ttl > 0 { Duration::from_millis(ttl.into()) } else { PATIENCE };
    let model = engines.first().map(|engine| engine.model().to_string()).unwrap_or_default();
    let seats = Seats::new(engines.iter().map(|engine| engine.capacity()).sum(), patience);
    let cancels = context.broker.subscribe(topology::CANCEL).await?;
    let (own, consumer) = consume(&config, &seats, &worker, &context).await?;
    let (fleet, ends) = Fleet::start(named(&config, engines)).map_err(RunError::Thread)?;
    tracing::info!(%worker, model, seats = seats.total(), "taking inference jobs");
    let shared = Shared {
        context,
        fleet,
        worker,
        model,
        coalesce: Duration::from_millis(config.coalesce_ms),
        cancels: Cancels::default(),
        seats,
        hand_back: CancellationToken::new(),
    };
    let (shared, jobs) = (Arc::new(shared), JoinSet::new());
    let mut intake = Intake { shared, jobs, cancels, own, consumer, ends, handed_back: Vec::new() };
    let ended = intake.take_jobs().await;
    // Jobs of a failed engine end by themselves.
    let grace = if ended.is_ok() { Duration::from_millis(config.drain_ms) } else { HAND_BACK };
    intake.drain(grace).await;
    ended
}

/// Each engine with its device's name.
fn named(config: &Config, engines: Vec<Box<dyn Engine>>) -> Vec<(String, Box<dyn Engine>)> {
    let labels = Device::parse_all(&config.devices).map(|devices| Device::labels(&devices)).unwrap_or_default();
    let labels = labels.into_iter().map(Some).chain(std::iter::repeat(None));
    let name = |(n, label): (usize, Option<String>)| label.unwrap_or_else(|| format!("device {n}"));
    labels.enumerate().map(name).zip(engines).collect()
}

/// The worker's own queue, unless the configuration wants none, and the shared one.
async fn consume(
    config: &Config,
    seats: &Seats,
    worker: &WorkerId,
    context: &Context,
) -> Result<(Option<Consumer>, Consumer), BrokerError> {
    let own = match config.affinity_ttl_ms {
        0 => None,
        ttl => Some(context.broker.consume_own(OwnQueue::of(worker, ttl), seats.total()).await?),
    };
    Ok((own, context.broker.consume(topology::INFERENCE, seats.step()).await?))
}

struct Intake {
    shared: Arc<Shared>,
    jobs: JoinSet<Option<Delivery>>,
    cancels: mpsc::Receiver<Bytes>,
    ends: mpsc::Receiver<Ended>,
    /// Of the worker's own queue.
    own: Option<Consumer>,
    /// Of the shared queue.
    consumer: Consumer,
    /// Unsettled, for the broker to take back when the consumers end; declared, and so dropped, after them.
    handed_back: Vec<Delivery>,
}

impl Intake {
    async fn take_jobs(&mut self) -> Result<(), RunError> {
        let stop = self.shared.context.stop.clone();
        loop {
            self.consumer.limit(self.shared.seats.left());
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.ends.recv() => self.lose(ended)?,
                Some(body) = self.cancels.recv() => self.shared.cancels.broadcast(&body),
                Some(ended) = self.jobs.join_next() => self.ended(ended),
                Some(delivery) = next(&mut self.own) => self.begin(delivery, self.shared.seats.own()),
                delivery = self.consumer.next() => match delivery {
                    Some(delivery) => self.begin(delivery, Origin::Shared),
                    None => return Err(BrokerError::Unavailable("the queue's subscription ended".into()).into()),
                },
            }
        }
    }

    /// Goes on with the other devices, if there are any.
    fn lose(&self, ended: Ended) -> Result<(), RunError> {
        let Ended { device, capacity, error } = ended;
        tracing::error!(device, %error, "a device failed and is taken out; its jobs go back to the queue");
        gauge!(metric::DEVICE_UP, "device" => device).set(0.0);
        if !self.shared.fleet.is_alive() {
            return Err(RunError::Engine(error));
        }
        self.shared.seats.lose(capacity);
        Ok(())
    }

    fn begin(&mut self, delivery: Delivery, origin: Origin) {
        self.jobs.spawn(job::run(delivery, origin, self.shared.clone()));
    }

    /// Takes no more jobs, and leaves those that were not begun to others.
    async fn leave(&mut self) {
        // What does not reach the broker is delivered again anyway.
        if let Some(own) = &mut self.own {
            for delivery in timeout(HAND_BACK, own.stop()).await.unwrap_or_default() {
                let _ = delivery.send_on().await;
            }
        }
        for delivery in timeout(HAND_BACK, self.consumer.stop()).await.unwrap_or_default() {
            let _ = delivery.requeue().await;
        }
    }

    /// Lets running jobs finish within `grace`, then hands them back. The consumers live on meanwhile, or the broker
    /// would give the unsettled jobs to others.
    async fn drain(&mut self, grace: Duration) {
        self.leave().await;
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

/// The next job of a queue; waits for ever when there is none.
async fn next(consumer: &mut Option<Consumer>) -> Option<Delivery> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}
