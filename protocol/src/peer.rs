//! What gateway nodes say to each other about sessions, on the queue [`crate::topology::peers`] of each.
//!
//! The node that got a request for a session of another one sends it a [`PeerCall`] and is answered with [`PeerNews`].

use crate::{Failure, JobId, NodeId, SessionId, Submit, TenantId, TurnEvent};
use serde::{Deserialize, Serialize};

/// What comes to a node from another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PeerMessage {
    /// It asks for something.
    Call(PeerCall),
    /// It answers.
    News(PeerNews),
}

/// A request of the node `from` to the owner of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerCall {
    /// The call's own id, which the answers carry.
    pub id: JobId,
    /// Who asks.
    pub from: NodeId,
    /// Whose session.
    pub tenant: TenantId,
    /// Which session.
    pub session: SessionId,
    /// W3C `traceparent` of the request's span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What is asked.
    pub ask: PeerAsk,
}

/// What one node asks of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum PeerAsk {
    /// Begin a turn; its events follow.
    Submit(Submit),
    /// Send the events of a turn from the number `from` on.
    Follow {
        /// The turn.
        turn: JobId,
        /// The first event that is wanted.
        from: u64,
    },
    /// Stop a turn; `None`: the one that runs.
    Stop {
        /// The turn.
        turn: Option<JobId>,
    },
    /// Forget the session.
    Delete,
    /// The caller awaits no more events of the call with this id.
    Leave,
}

/// An answer to the call `id`. Numbers begin at 0 and have no gaps, so that the caller notices a loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerNews {
    /// Which call is answered.
    pub id: JobId,
    /// The answer's number.
    pub seq: u64,
    /// What is said.
    pub word: PeerWord,
}

/// What the owner of a session answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum PeerWord {
    /// The turn that the events will be of.
    Turn {
        /// Its id.
        turn: JobId,
    },
    /// Events of the turn and their numbers, in order.
    Events {
        /// At least one.
        events: Vec<(u64, TurnEvent)>,
    },
    /// The call is still served, there is nothing to tell.
    Alive,
    /// What was asked is done.
    Done,
    /// It will not be done.
    Refused(Failure),
    /// This node does not own the session any more; who does is to be found out anew.
    Moved,
}
