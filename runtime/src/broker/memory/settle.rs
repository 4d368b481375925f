//! How a delivery and a consumer of the embedded broker end.

use super::state::{Outcome, Shared, lock};
use crate::{
    BrokerError,
    broker::{Control, Reason, Settle, count},
};
use async_trait::async_trait;
use std::sync::Weak;

/// Settles one delivery; dropped, it hands the job back. It has no effect once the consumer has ended.
pub(super) struct MemorySettle {
    pub shared: Weak<Shared>,
    pub queue: String,
    pub tag: u64,
}

impl MemorySettle {
    fn settle(&self, outcome: Outcome<'_>) -> bool {
        self.shared.upgrade().is_some_and(|shared| lock(&shared).settle(&self.queue, self.tag, outcome))
    }

    fn finish(&self, outcome: Outcome<'_>, how: &'static str) -> Result<(), BrokerError> {
        if self.settle(outcome) {
            count::settled(&self.queue, how);
        }
        Ok(())
    }
}

#[async_trait]
impl Settle for MemorySettle {
    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.finish(Outcome::Ack, "ack")
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        self.finish(Outcome::Requeue, "requeue")
    }

    async fn send_on(self: Box<Self>) -> Result<(), BrokerError> {
        self.finish(Outcome::SendOn, "send_on")
    }

    async fn dead_letter(self: Box<Self>, reason: Reason, why: &str) -> Result<(), BrokerError> {
        self.finish(Outcome::DeadLetter(reason, why), "dead_letter")
    }
}

impl Drop for MemorySettle {
    fn drop(&mut self) {
        self.settle(Outcome::Requeue);
    }
}

/// A consumer's place at its queue.
pub(super) struct Subscription {
    pub shared: Weak<Shared>,
    pub queue: String,
    pub id: u64,
}

#[async_trait]
impl Control for Subscription {
    fn limit(&self, most: u16) {
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared).limit(&self.queue, self.id, most, false);
        }
    }

    async fn stop(&self) {
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared).limit(&self.queue, self.id, 0, true);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared).end(&self.queue, self.id);
        }
    }
}
