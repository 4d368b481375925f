//! One delivery of a job, which can be settled exactly once.

use crate::broker::BrokerError;
use async_trait::async_trait;
use bytes::Bytes;

/// How a backend settles a delivery.
#[async_trait]
pub trait Settle: Send + Sync {
    /// The job is done.
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;
    /// The job goes back to its queue, as its next attempt.
    async fn requeue(self: Box<Self>) -> Result<(), BrokerError>;
    /// The job goes to the dead-letter queue.
    async fn dead_letter(self: Box<Self>) -> Result<(), BrokerError>;
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

    /// The job goes to the dead-letter queue.
    pub async fn dead_letter(self) -> Result<(), BrokerError> {
        self.settle.dead_letter().await
    }
}
