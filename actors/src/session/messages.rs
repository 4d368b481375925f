//! What a session's actor is asked.

use crate::{TurnStream, ask::Ask, store::Member};
use actix::Message;
use protocol::{Failure, JobId};
use tracing::Span;

/// Why an actor does not do it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// It is about to leave; another actor for the session will do it.
    Gone,
    /// Another node owns the session.
    Elsewhere(Member),
    /// For good.
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An actor's answer.
pub(crate) type Answered<T> = Result<T, Refusal>;

/// Begin a turn, now or after those before it.
#[derive(Clone, Message)]
#[rtype(result = "Answered<TurnStream>")]
pub(crate) struct Begin {
    pub ask: Ask,
    /// The caller's span.
    pub parent: Span,
}

/// Read the turn, whether it waits, runs or has ended.
#[derive(Clone, Message)]
#[rtype(result = "Answered<TurnStream>")]
pub(crate) struct Follow(pub JobId);

/// Stop the turn, whether it runs or waits; `None`: the one that runs.
#[derive(Clone, Message)]
#[rtype(result = "Answered<()>")]
pub(crate) struct Stop(pub Option<JobId>);

/// Forget the session.
#[derive(Clone, Message)]
#[rtype(result = "Answered<()>")]
pub(crate) struct Delete;

/// Answer the messages that a dead owner left open.
#[derive(Clone, Message)]
#[rtype(result = "Answered<()>")]
pub(crate) struct Adopt;

/// Leave memory. Answers whether the actor leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "bool")]
pub(crate) enum Leave {
    /// If it is idle.
    IfIdle,
    /// The node owns its sessions no more: what runs goes on elsewhere.
    NotOwner,
    /// The node stops: what runs goes on elsewhere, or fails if it cannot.
    Shutdown,
}
