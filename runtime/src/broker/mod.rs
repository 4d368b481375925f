//! The broker port: jobs to shared queues, replies to a node's own queue, broadcasts to every worker.
//!
//! [`connect`] picks the backend by the URL's scheme. Both backends carry the same serialized bytes and pass the same
//! contract suite (`tests/broker_contract.rs`).

mod amqp;
mod broadcasts;
mod count;
mod dead;
mod delivery;
mod memory;
mod watch;

pub use dead::{DeadLetter, DeadLetters, MAX_WHY, Reason, RequeueError, requeue};
pub use delivery::{Delivery, Settle};
pub use watch::watch;

use crate::config::{Problem, redact};
use async_trait::async_trait;
use bytes::Bytes;
use protocol::topology::{OwnQueue, WorkQueue};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The largest message in bytes: what every supported RabbitMQ takes by default.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// What is published to a queue.
#[derive(Debug, Clone)]
pub struct Message {
    /// Serialized envelope or reply.
    pub body: Bytes,
    /// After this time in a work queue the message becomes a dead letter; `None`: it waits for ever.
    pub ttl: Option<Duration>,
}

/// Why a broker call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The queue holds its maximum; try later.
    #[error("queue {0} is full")]
    Full(String),
    /// Nobody has declared the queue: for a reply queue, its reader is gone.
    #[error("queue {0} does not exist")]
    Unroutable(String),
    /// The message, of so many bytes, is larger than [`MAX_BODY`].
    #[error("a message of {0} bytes: at most {MAX_BODY} are carried")]
    TooLarge(usize),
    /// The broker cannot be reached now.
    #[error("broker unavailable: {0}")]
    Unavailable(String),
    /// The broker's URL or setup is wrong; a retry will not help.
    #[error("broker misconfigured: {0}")]
    Misconfigured(String),
}

/// Refuses what no broker carries.
fn check_size(body: &Bytes) -> Result<(), BrokerError> {
    if body.len() > MAX_BODY { Err(BrokerError::TooLarge(body.len())) } else { Ok(()) }
}

/// What comes from a reply queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message.
    Reply(Bytes),
    /// The queue was lost and is there again: messages from before may be missing. Never the first.
    Renewed,
}

/// A message broker.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes to a work or reply queue and returns once the broker has taken responsibility for the message.
    ///
    /// While a remote broker is away the message is kept and sent again, for at most the patience given to [`connect`].
    /// After [`BrokerError::Unavailable`] it may still arrive, and after an outage it may arrive twice.
    async fn publish(&self, queue: &str, message: Message) -> Result<(), BrokerError>;

    /// Sends `body` to every current subscriber of `exchange`; none is not an error.
    async fn broadcast(&self, exchange: &str, body: Bytes) -> Result<(), BrokerError>;

    /// Takes jobs from a shared queue, at most `prefetch` of them unsettled at a time. Survives reconnects: jobs that
    /// were unsettled when the connection broke are delivered again, and settling the old delivery has no effect.
    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Result<Consumer, BrokerError>;

    /// Declares a worker's own queue and takes jobs from it, as [`consume`](Self::consume) does. A job that is published to
    /// it and not taken within its time, that is [sent on](Delivery::send_on), or that is given back goes to the shared
    /// queue; only the last is its next attempt.
    async fn consume_own(&self, queue: OwnQueue, prefetch: u16) -> Result<Consumer, BrokerError>;

    /// Declares the caller's own reply queue and takes its messages, at most once each. The queue vanishes with the
    /// receiver. It also vanishes, with what waited in it, when the connection breaks; it is then declared again and
    /// [`Incoming::Renewed`] tells so.
    async fn replies(&self, queue: &str) -> Result<mpsc::Receiver<Incoming>, BrokerError>;

    /// Takes broadcasts of `exchange` from now on; a slow reader loses the oldest.
    async fn subscribe(&self, exchange: &str) -> Result<mpsc::Receiver<Bytes>, BrokerError>;

    /// Messages in `queue` that wait for a consumer.
    async fn depth(&self, queue: &str) -> Result<u32, BrokerError>;

    /// Looks through [`protocol::topology::DEAD_LETTERS`]; [`BrokerError::Unavailable`] when somebody else does already.
    async fn dead_letters(&self) -> Result<Box<dyn DeadLetters>, BrokerError>;

    /// Whether the broker answers now.
    async fn check(&self) -> Result<(), BrokerError>;
}

/// How a backend steers a subscription; dropping it ends the subscription.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// See [`Consumer::limit`].
    fn limit(&self, most: u16);
    /// Returns once no more jobs come; see [`Consumer::stop`].
    async fn stop(&self);
}

/// Jobs of one queue; dropping it hands its unsettled deliveries back to the queue.
pub struct Consumer {
    /// Dropped before the channel: the backend takes its deliveries back in order, not one by one.
    control: Box<dyn Control>,
    deliveries: mpsc::Receiver<Delivery>,
}

impl Consumer {
    /// Wraps a backend's channel.
    pub fn new(deliveries: mpsc::Receiver<Delivery>, control: impl Control) -> Self {
        Self { control: Box::new(control), deliveries }
    }

    /// From now on at most `most` jobs are unsettled at a time. What is out stays out, and until then more may come: less
    /// than the prefetch with which the consumer began, for a remote broker is asked for jobs in steps of it.
    pub fn limit(&self, most: u16) {
        self.control.limit(most);
    }

    /// Takes no more jobs and returns those that had come and were not looked at; what is out may still be settled. A
    /// worker's own queue takes no new jobs from then on either: it is [`BrokerError::Unroutable`].
    pub async fn stop(&mut self) -> Vec<Delivery> {
        let mut rest = Vec::new();
        let mut stopped = self.control.stop();
        loop {
            tokio::select! {
                biased;
                Some(delivery) = self.deliveries.recv() => rest.push(delivery),
                () = &mut stopped => break,
            }
        }
        rest.extend(std::iter::from_fn(|| self.deliveries.try_recv().ok()));
        rest
    }

    /// The next job; `None` once the broker has shut down for good.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }
}

/// What is wrong with a broker's `url`, before anything is connected; `key` is the configuration key that holds it.
pub fn problem(key: &str, url: &str) -> Option<Problem> {
    let known = ["memory:", "amqp://", "amqps://"].iter().any(|scheme| url.starts_with(scheme));
    (!known).then(|| Problem::new(key, format!("{:?}", redact(url)), "memory: or amqp://user:password@host:port/vhost"))
}

/// Connects to the broker that `url` names: `memory:` or `amqp://…`/`amqps://…`.
///
/// A remote broker that does not answer within `patience` is [`BrokerError::Unavailable`]; after the first success the
/// connection is renewed in the background whenever it breaks.
pub async fn connect(url: &str, patience: Duration) -> Result<Arc<dyn Broker>, BrokerError> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("memory") => Ok(Arc::new(memory::MemoryBroker::new())),
        Some("amqp" | "amqps") => Ok(Arc::new(amqp::AmqpBroker::connect(url, patience).await?)),
        scheme => Err(BrokerError::Misconfigured(format!(
            "the broker's URL begins with {:?}: expected memory: or amqp://user:password@host:port/vhost",
            scheme.unwrap_or_default()
        ))),
    }
}
