//! Dead letters: jobs that no worker will be given again, with the reason.

use super::{Broker, BrokerError, Message};
use async_trait::async_trait;
use bytes::Bytes;
use protocol::{Envelope, Timestamp, topology};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::{fmt, str::FromStr, time::Duration};

/// Characters of a reason's words that are kept.
pub const MAX_WHY: usize = 500;

/// Why a job became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reason {
    /// Its time ran out while it waited.
    Expired,
    /// It was delivered as often as it may be, and each time failed or took its worker along.
    DeliveryLimit,
    /// A worker refused it for ever, as one that it cannot read.
    Refused,
    /// The broker does not tell.
    #[default]
    Unknown,
}

impl Reason {
    /// Every reason.
    pub const ALL: &[Reason] = &[Reason::Expired, Reason::DeliveryLimit, Reason::Refused, Reason::Unknown];

    /// Its name in headers and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Expired => "expired",
            Reason::DeliveryLimit => "delivery_limit",
            Reason::Refused => "refused",
            Reason::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|reason| reason.name() == text);
        let names = || Self::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("expected one of {}", names()))
    }
}

/// A job that no worker will be given again.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its number with the reader that found it.
    pub number: u64,
    /// What was published.
    pub body: Bytes,
    /// The queue in which it died.
    pub queue: String,
    /// Why.
    pub reason: Reason,
    /// What who gave it up said about it; never a customer's words.
    pub why: String,
    /// When, by the broker's clock.
    pub died: Option<Timestamp>,
    /// What the broker keeps beside the body.
    pub headers: Map<String, Value>,
}

impl DeadLetter {
    /// Its envelope, whatever the job; `None` when that cannot be read.
    pub fn envelope(&self) -> Option<Envelope<IgnoredAny>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The queue whose workers would do it: a worker's own queue stands for the shared one.
    pub fn home(&self) -> &str {
        if topology::is_own(&self.queue) { topology::INFERENCE.name } else { &self.queue }
    }

    /// The body with `deadline` and `published` of its envelope replaced; `None` when it is no envelope.
    fn renewed(&self, now: Timestamp, deadline: Timestamp) -> Option<Bytes> {
        self.envelope()?;
        let mut body: Map<String, Value> = serde_json::from_slice(&self.body).ok()?;
        body.insert("deadline".into(), deadline.0.into());
        body.insert("published".into(), now.0.into());
        serde_json::to_vec(&body).ok().map(Bytes::from)
    }
}

/// Somebody who looks through the dead letters; one at a time may.
///
/// What was seen and not removed returns to its place when the reader is closed or dropped. When its process or its
/// connection ends instead, all of it returns as well, though perhaps in another order.
#[async_trait]
pub trait DeadLetters: Send {
    /// The next one, the oldest first; `None`: those that were there when the reader was opened have been seen.
    async fn next(&mut self) -> Result<Option<DeadLetter>, BrokerError>;

    /// Takes one out of the queue for good.
    async fn remove(&mut self, letter: &DeadLetter) -> Result<(), BrokerError>;

    /// Puts back what was not removed, and returns once that is done.
    async fn close(self: Box<Self>) -> Result<(), BrokerError>;
}

/// Why a dead letter was not published again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequeueError {
    /// It is no job, so every worker would refuse it.
    #[error("it has no readable envelope and would be refused again")]
    Unreadable,
    /// The broker did not do it.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Publishes `letter` to the queue that it came from, with a new deadline that is `within` from `now`, and then takes it out
/// of the dead letters. What happens between the two leaves it in both places, never in neither.
pub async fn requeue(
    broker: &dyn Broker,
    letters: &mut dyn DeadLetters,
    letter: &DeadLetter,
    now: Timestamp,
    within: Duration,
) -> Result<(), RequeueError> {
    let deadline = now.after_ms(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
    let body = letter.renewed(now, deadline).ok_or(RequeueError::Unreadable)?;
    broker.publish(letter.home(), Message { body, ttl: Some(within) }).await?;
    Ok(letters.remove(letter).await?)
}
