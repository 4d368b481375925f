//! One delivery of a job, which can be settled exactly once.

use crate::broker::{BrokerError, MAX_WHY, Reason};
use async_trait::async_trait;
use bytes::Bytes;

/// How a backend settles a delivery.
#[async_trait]
pub trait Settle: Send + Sync {
    /// The job is done.
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;
    /// The job goes back to its queue, as its next attempt.
    async fn requeue(self: Box<Self>) -> Result<(), BrokerError>;
    /// See [`Delivery::send_on`].
    async fn send_on(self: Box<Self>) -> Result<(), BrokerError>;
    /// The job goes to the dead-letter queue, with the reason.
    async fn dead_letter(self: Box<Self>, reason: Reason, why: &str) -> Result<(), BrokerError>;
}

/// One delivery of a job. An unsettled one returns to its queue, as the next attempt, when it is dropped or when its
/// consumer or connection ends; from then on settling it has no effect and is no error.
pub struct Delivery {
    /// The serialized envelope.
    pub body: Bytes,
    /// How often the job was delivered before, from 0.
    pub attempt: u32,
    settle: Box<dyn Settle>,
}

impl Delivery {
    /// A delivery that `settle` settles.
    pub fn new(body: Bytes, attempt: u32, settle: Box<dyn Settle>) -> Self {
        Self { body, attempt, settle }
    }

    /// The job is done.
    pub async fn ack(self) -> Result<(), BrokerError> {
        self.settle.ack().await
    }

    /// The job goes back to its queue, as its next attempt.
    pub async fn requeue(self) -> Result<(), BrokerError> {
        self.settle.requeue().await
    }

    /// Another worker should begin the job: it leaves a worker's own queue for the shared one, where this delivery does not
    /// count; in a shared queue it is its next attempt.
    pub async fn send_on(self) -> Result<(), BrokerError> {
        self.settle.send_on().await
    }

    /// The job goes to the dead-letter queue, at least once, with the reason and, in at most [`MAX_WHY`] characters that
    /// quote nobody, what is wrong with it.
    pub async fn dead_letter(self, reason: Reason, why: &str) -> Result<(), BrokerError> {
        let end = why.char_indices().nth(MAX_WHY).map_or(why.len(), |(at, _)| at);
        self.settle.dead_letter(reason, &why[..end]).await
    }
}
