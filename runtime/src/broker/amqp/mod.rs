//! RabbitMQ.

use super::{Broker, BrokerError, Consumer, Message};
use async_trait::async_trait;
use bytes::Bytes;
use protocol::topology::WorkQueue;
use std::time::Duration;
use tokio::sync::mpsc;

/// A connection to RabbitMQ; not yet built.
pub struct AmqpBroker;

fn unbuilt() -> BrokerError {
    BrokerError::Misconfigured("amqp is not built yet: use memory:".into())
}

impl AmqpBroker {
    /// Refuses.
    pub async fn connect(_url: &str, _patience: Duration) -> Result<Self, BrokerError> {
        Err(unbuilt())
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn publish(&self, _: &str, _: Message) -> Result<(), BrokerError> {
        Err(unbuilt())
    }
    async fn broadcast(&self, _: &str, _: Bytes) -> Result<(), BrokerError> {
        Err(unbuilt())
    }
    async fn consume(&self, _: WorkQueue, _: u16) -> Result<Consumer, BrokerError> {
        Err(unbuilt())
    }
    async fn replies(&self, _: &str) -> Result<mpsc::Receiver<Bytes>, BrokerError> {
        Err(unbuilt())
    }
    async fn subscribe(&self, _: &str) -> Result<mpsc::Receiver<Bytes>, BrokerError> {
        Err(unbuilt())
    }
    async fn depth(&self, _: &str) -> Result<u32, BrokerError> {
        Err(unbuilt())
    }
    async fn check(&self) -> Result<(), BrokerError> {
        Err(unbuilt())
    }
}
