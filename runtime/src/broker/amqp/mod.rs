//! RabbitMQ, from 3.10 to 4.x.
//!
//! A supervisor keeps one connection ([`link`]); on it live one publishing channel ([`outbox`]) and a channel per
//! consumer ([`source`]), each of which sets itself up anew on the next connection. No lock is held across an await but
//! the one of [`Broker::depth`]'s channel.

mod address;
mod confirms;
mod dead;
mod error;
mod flow;
mod headers;
mod link;
mod listen;
mod outbox;
mod source;
mod topology;
mod work;

use super::{Broker, BrokerError, Consumer, DeadLetters, Incoming, Message, check_size, count};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryFutureExt;
use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};
use link::Link;
use outbox::{Outbox, Parcel};
use protocol::topology::{AFFINITY, DEAD_LETTERS, OwnQueue, WorkQueue, is_own};
use source::Jobs;
use std::time::Duration;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, timeout},
};
use tokio_util::sync::DropGuard;

/// A connection to RabbitMQ that renews itself.
pub struct AmqpBroker {
    link: Link,
    outbox: Outbox,
    /// For [`Broker::depth`].
    probe: Mutex<Option<Channel>>,
    _stop: DropGuard,
}

impl AmqpBroker {
    /// Connects and declares the topology; every later call waits for the broker for at most `patience`.
    pub async fn connect(url: &str, patience: Duration) -> Result<Self, BrokerError> {
        let (link, stop) = Link::connect(url, patience).await?;
        let outbox = Outbox::start(link.clone());
        Ok(Self { link, outbox, probe: Mutex::new(None), _stop: stop })
    }

    async fn send(&self, exchange: &str, key: &str, body: Bytes, ttl: Option<Duration>) -> Result<(), BrokerError> {
        error::name(exchange)?;
        error::name(key)?;
        check_size(&body)?;
        let expires = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        self.outbox.send(Parcel { expires, ..Parcel::new(exchange, key, body) }).await
    }

    async fn measure(&self, queue: &str) -> Result<u32, BrokerError> {
        let live = self.link.live_now()?;
        let mut probe = self.probe.lock().await;
        let channel = match probe.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => live.during(live.channel()).await?,
        };
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declaring = channel.queue_declare(error::name(queue)?, options, FieldTable::default());
        let declaring = declaring.map_err(|error| error::of_queue(queue, &error));
        let declared = live.during(declaring).await?;
        *probe = Some(channel);
        Ok(declared.message_count())
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn publish(&self, queue: &str, message: Message) -> Result<(), BrokerError> {
        let exchange = if is_own(queue) { AFFINITY } else { "" };
        let result = self.send(exchange, queue, message.body, message.ttl).await;
        count::published(queue, &result);
        result
    }

    async fn broadcast(&self, exchange: &str, body: Bytes) -> Result<(), BrokerError> {
        self.send(exchange, "", body, None).await
    }

    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Result<Consumer, BrokerError> {
        work::consume(&self.link, &self.outbox, Jobs::Shared(queue), prefetch).await
    }

    async fn consume_own(&self, queue: OwnQueue, prefetch: u16) -> Result<Consumer, BrokerError> {
        work::consume(&self.link, &self.outbox, Jobs::Own(queue), prefetch).await
    }

    async fn replies(&self, queue: &str) -> Result<mpsc::Receiver<Incoming>, BrokerError> {
        listen::replies(&self.link, queue).await
    }

    async fn subscribe(&self, exchange: &str) -> Result<mpsc::Receiver<Bytes>, BrokerError> {
        listen::subscribe(&self.link, exchange).await
    }

    async fn depth(&self, queue: &str) -> Result<u32, BrokerError> {
        let measured = timeout(self.link.patience, self.measure(queue)).await;
        measured.unwrap_or_else(|_| Err(self.link.why_not()))
    }

    async fn dead_letters(&self) -> Result<Box<dyn DeadLetters>, BrokerError> {
        dead::open(&self.link).await.map(|reader| Box::new(reader) as Box<dyn DeadLetters>)
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.depth(DEAD_LETTERS).await.map(|_| ())
    }
}
