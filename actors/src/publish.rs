//! Jobs to their queues, and the word that nobody awaits one any more.

use bytes::Bytes;
use protocol::{
    Cancel, Envelope, ErrorCode, Failure, InferenceJob, JobId, TenantId, Timestamp, WorkerId,
    topology::{self, WorkQueue},
};
use runtime::{Broker, BrokerError, Clock, Message};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// The broker must take a message within this time, or the turn fails.
const PATIENCE: Duration = Duration::from_secs(15);

/// A job without what every job of this node has in common.
#[derive(Debug, Clone)]
pub(crate) struct Job<B> {
    pub tenant: TenantId,
    pub id: JobId,
    pub deadline: Timestamp,
    pub traceparent: Option<String>,
    pub body: B,
}

/// Publishes this node's jobs.
pub(crate) struct Publisher {
    pub broker: Arc<dyn Broker>,
    pub clock: Arc<dyn Clock>,
    /// The node's reply queue.
    pub reply_to: String,
}

impl Publisher {
    /// Returns once the broker has taken the job, which it drops at its deadline.
    pub async fn job<B: Serialize>(&self, queue: WorkQueue, job: Job<B>) -> Result<(), Failure> {
        self.send(queue.name, job).await?.map_err(failure)
    }

    /// As [`job`](Self::job), to one worker's own queue; false when that takes none.
    pub async fn job_for(&self, worker: &WorkerId, job: Job<InferenceJob>) -> Result<bool, Failure> {
        match self.send(&topology::own(worker), job).await? {
            Ok(()) => Ok(true),
            Err(BrokerError::Unroutable(_) | BrokerError::Full(_)) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    /// What the broker says, if it does within the time.
    async fn send<B: Serialize>(&self, queue: &str, job: Job<B>) -> Result<Result<(), BrokerError>, Failure> {
        let published = self.clock.now();
        let ttl = Duration::from_millis(job.deadline.ms_from(published));
        let envelope = Envelope {
            v: Envelope::<B>::VERSION,
            tenant: job.tenant,
            job: job.id,
            reply_to: self.reply_to.clone(),
            deadline: job.deadline,
            published,
            traceparent: job.traceparent,
            body: job.body,
        };
        let body = serialize(&envelope)?;
        let sent = self.broker.publish(queue, Message { body, ttl: Some(ttl) });
        tokio::time::timeout(PATIENCE.min(ttl), sent).await.map_err(|_| unavailable())
    }

    /// Tells all workers; a loss costs only the work that goes on until the job's deadline.
    pub async fn cancel(&self, job: &JobId) {
        let Ok(body) = serialize(&Cancel { job: job.clone() }) else { return };
        let sent = tokio::time::timeout(PATIENCE, self.broker.broadcast(topology::CANCEL, body)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::warn!(%job, "the broker did not take a cancellation");
        }
    }
}

fn serialize(message: &impl Serialize) -> Result<Bytes, Failure> {
    let internal = |error| Failure::new(ErrorCode::Internal, format!("a message cannot be written: {error}"));
    serde_json::to_vec(message).map(Bytes::from).map_err(internal)
}

fn unavailable() -> Failure {
    Failure::new(ErrorCode::Unavailable, "the message broker does not answer; try again shortly")
}

fn failure(error: BrokerError) -> Failure {
    tracing::warn!(%error, "a job was not published");
    match error {
        BrokerError::Full(_) => Failure::new(ErrorCode::Overloaded, "too many jobs are waiting; try again shortly"),
        BrokerError::TooLarge(_) => Failure::new(ErrorCode::PayloadTooLarge, error.to_string()),
        BrokerError::Unroutable(_) | BrokerError::Unavailable(_) | BrokerError::Misconfigured(_) => unavailable(),
    }
}
