//! What customers saw and what was read of the store: all that the checker judges by.

use protocol::TurnEvent;
use std::time::Duration;

/// A conversation and everything that was seen of it.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    pub tenant: String,
    pub session: String,
    /// In the order in which they were first sent.
    pub messages: Vec<Message>,
    /// Oldest first, in each source.
    pub reads: Vec<Read>,
}

/// A customer's message and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The client's own id.
    pub id: String,
    pub text: String,
    /// A word that occurs in this message's text and in no other.
    pub mark: String,
    /// When it was first sent and first known to be accepted, in the conversation's own order of things.
    pub sent: u64,
    pub accepted: Option<u64>,
    /// The customer has not come back after sending it.
    pub left: bool,
    /// From the first try to the whole answer, or until the customer left or gave up.
    pub took: Duration,
    /// Requests that were refused, or could not be made.
    pub refusals: u64,
    /// One for each stream that the customer read of it.
    pub views: Vec<View>,
}

/// What one stream showed.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The job and number of the last event that the customer had seen before, if the stream was asked to go on there.
    pub after: Option<(String, u64)>,
    pub events: Vec<Seen>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub job: String,
    pub seq: u64,
    pub event: TurnEvent,
}

impl Seen {
    pub fn is_failure(&self) -> bool {
        matches!(self.event, TurnEvent::Failed(_))
    }
}

/// Where a conversation was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// In Redis.
    #[default]
    Store,
    /// From a gateway.
    Gateway,
}

/// A conversation as it was kept at one time.
#[derive(Debug, Clone, Default)]
pub struct Read {
    pub source: Source,
    /// Epoch and write; of a gateway's answer always the same.
    pub version: (u64, u64),
    pub exchanges: Vec<Exchange>,
}

/// A message and its answer as they are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exchange {
    /// The client's own id of the message.
    pub id: String,
    pub question: String,
    pub answer: String,
    /// The turn.
    pub job: String,
}

impl Message {
    /// Every event that any stream showed.
    pub fn events(&self) -> impl Iterator<Item = &Seen> {
        self.views.iter().flat_map(|view| &view.events)
    }

    /// The first whole answer that was shown: its job, its text, and whether it is another answer than the model's.
    pub fn finished(&self) -> Option<(&str, &str, bool)> {
        self.events().find_map(|seen| match &seen.event {
            TurnEvent::Finished { text, degraded, .. } => Some((seen.job.as_str(), text.as_str(), *degraded)),
            _ => None,
        })
    }

    /// Whether a failure of `job` was shown.
    pub fn failed(&self, job: &str) -> bool {
        self.events().any(|seen| seen.job == job && seen.is_failure())
    }
}

impl Conversation {
    /// The last read of `source`.
    pub fn last(&self, source: Source) -> Option<&Read> {
        self.reads.iter().rfind(|read| read.source == source)
    }
}
