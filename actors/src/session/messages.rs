//! What a session's actor is asked.

use crate::{SessionView, TurnStream, ask::Ask};
use actix::Message;
use protocol::{Failure, JobId};
use tracing::Span;

/// Why an actor does not do it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// It is about to leave; another actor for the session will do it.
    Gone,
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

/// Show the history.
#[derive(Clone, Message)]
#[rtype(result = "Answered<SessionView>")]
pub(crate) struct View;

/// Stop the turn, whether it runs or waits; `None`: the one that runs.
#[derive(Clone, Message)]
#[rtype(result = "Answered<()>")]
pub(crate) struct Stop(pub Option<JobId>);

/// Forget the session.
#[derive(Clone, Message)]
#[rtype(result = "Answered<()>")]
pub(crate) struct Delete;

/// Leave memory if idle; with a failure, end all turns with it and leave in any case. Answers whether the actor leaves.
#[derive(Clone, Message)]
#[rtype(result = "bool")]
pub(crate) struct Leave(pub Option<Failure>);
