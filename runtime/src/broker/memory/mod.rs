//! The embedded broker: the same bytes and rules as RabbitMQ's quorum queues, inside one process.
//!
//! One mutex guards all queues and is never held across an await. There are no timers and no tasks per queue: a message
//! whose time ran out moves to the dead letters as soon as the broker is next used, by tokio's clock. Only a job in a worker's
//! own queue has a timer, for it must move on while nothing else happens.
//!
//! Where it differs: [`Broker::depth`] of a reply queue counts what its reader has not taken yet, whereas RabbitMQ has
//! sent it already; and a limit on length is exact, whereas RabbitMQ's may be passed by a few.

mod dead;
mod queue;
mod settle;
mod state;

use super::{Broker, BrokerError, Consumer, DeadLetters, Incoming, Message, broadcasts, check_size, count};
use async_trait::async_trait;
use bytes::Bytes;
use dead::Reader;
use protocol::topology::{OwnQueue, WorkQueue};
use settle::Subscription;
use state::{Shared, expire_at, lock, shared};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Queues in this process's memory; they end with the last handle.
pub struct MemoryBroker(Arc<Shared>);

impl MemoryBroker {
    /// A broker with the topology's queues, all empty.
    pub fn new() -> Self {
        Self(shared())
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn publish(&self, queue: &str, message: Message) -> Result<(), BrokerError> {
        let result = check_size(&message.body).and_then(|()| lock(&self.0).publish(queue, message));
        if let Ok(Some(due)) = result {
            tokio::spawn(expire_at(Arc::downgrade(&self.0), due));
        }
        let result = result.map(|_| ());
        count::published(queue, &result);
        result
    }

    async fn broadcast(&self, exchange: &str, body: Bytes) -> Result<(), BrokerError> {
        check_size(&body)?;
        // An error means that nobody listens.
        let _ = lock(&self.0).exchange(exchange).send(body);
        Ok(())
    }

    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Result<Consumer, BrokerError> {
        let (id, deliveries) = lock(&self.0).consume(queue, prefetch);
        Ok(Consumer::new(deliveries, Subscription { shared: Arc::downgrade(&self.0), queue: queue.name.into(), id }))
    }

    async fn consume_own(&self, queue: OwnQueue, prefetch: u16) -> Result<Consumer, BrokerError> {
        let (id, deliveries) = lock(&self.0).consume_own(&queue, prefetch);
        Ok(Consumer::new(deliveries, Subscription { shared: Arc::downgrade(&self.0), queue: queue.name, id }))
    }

    async fn replies(&self, queue: &str) -> Result<mpsc::Receiver<Incoming>, BrokerError> {
        lock(&self.0).replies(queue)
    }

    async fn subscribe(&self, exchange: &str) -> Result<mpsc::Receiver<Bytes>, BrokerError> {
        let source = lock(&self.0).exchange(exchange).subscribe();
        Ok(broadcasts::forward(source))
    }

    async fn depth(&self, queue: &str) -> Result<u32, BrokerError> {
        lock(&self.0).depth(queue)
    }

    async fn dead_letters(&self) -> Result<Box<dyn DeadLetters>, BrokerError> {
        Reader::open(&self.0).map(|reader| Box::new(reader) as Box<dyn DeadLetters>)
    }

    async fn check(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}
