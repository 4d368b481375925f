//! What every job carries besides its body, so that any worker of its kind can do it.

use crate::{JobId, TenantId};
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This instant plus `ms` milliseconds.
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `now` until this instant; 0 when it has passed.
    pub fn ms_from(self, now: Timestamp) -> u64 {
        self.0.saturating_sub(now.0)
    }
}

/// A job and everything a worker needs besides it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<B> {
    /// Format version of the message; see [`Envelope::VERSION`].
    pub v: u16,
    /// Whose job it is.
    pub tenant: TenantId,
    /// The job's id.
    pub job: JobId,
    /// The queue that [`crate::Reply`] batches go to.
    pub reply_to: String,
    /// After this instant nobody awaits the answer.
    pub deadline: Timestamp,
    /// When the job was published; the worker's queue wait is measured from here.
    pub published: Timestamp,
    /// W3C `traceparent` of the turn's span (<https://www.w3.org/TR/trace-context/>).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The work itself.
    pub body: B,
}

impl<B> Envelope<B> {
    /// The format version this build writes.
    pub const VERSION: u16 = 1;
}

/// Broadcast to workers: stop working on a job, nobody awaits it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancel {
    /// The job to stop.
    pub job: JobId,
}
