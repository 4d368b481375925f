//! Messages that were accepted and are not answered, as the store keeps them, and what was shown of their answers.

use crate::json;
use bytes::Bytes;
use protocol::{JobId, Submit, Timestamp, TurnEvent};
use serde::{Deserialize, Serialize};

/// The format version that this build writes, and the only one it reads.
const VERSION: u16 = 1;

/// An accepted message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    v: u16,
    /// The turn that answers it.
    pub turn: JobId,
    /// Its place in the order of the session's messages.
    pub place: u64,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// The message.
    pub submit: Submit,
}

impl Open {
    pub fn new(turn: JobId, place: u64, accepted: Timestamp, submit: Submit) -> Self {
        Self { v: VERSION, turn, place, accepted, submit }
    }

    pub fn encode(&self) -> serde_json::Result<Bytes> {
        serde_json::to_vec(self).map(Bytes::from)
    }

    /// The error quotes nothing of the message.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let open: Self = serde_json::from_slice(bytes).map_err(|error| json::place(&error))?;
        if open.v == VERSION { Ok(open) } else { Err(format!("written in version {} of the format", open.v)) }
    }
}

/// The messages of a session in their order; what cannot be read is told in the log and left alone.
pub(crate) fn in_order<'a>(messages: impl IntoIterator<Item = &'a Bytes>) -> Vec<Open> {
    let read = |bytes: &Bytes| {
        Open::decode(bytes).inspect_err(|error| tracing::error!(error, "an open message cannot be read")).ok()
    };
    let mut open: Vec<Open> = messages.into_iter().filter_map(read).collect();
    open.sort_by_key(|open| (open.place, open.accepted));
    open
}

/// An event that was shown, with the tokens of the turn up to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The event.
    pub event: TurnEvent,
    /// Tokens that the turn has generated so far.
    pub tokens: u32,
}

impl Seen {
    pub fn encode(&self) -> serde_json::Result<Bytes> {
        serde_json::to_vec(self).map(Bytes::from)
    }

    /// The events up to the first that cannot be read.
    pub fn decode_all(events: &[Bytes]) -> Vec<Self> {
        events.iter().map_while(|bytes| serde_json::from_slice(bytes).ok()).collect()
    }
}
