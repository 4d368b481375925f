//! The session actor: one conversation, one turn at a time.

mod claim;
mod commit;
mod handlers;
mod held;
mod journal;
mod leave;
mod messages;
mod observe;
pub(crate) mod open;
mod outbox;
mod parked;
mod recall;
mod replay;
mod steps;
mod turns;

pub(crate) use leave::shutting_down;
pub(crate) use messages::{Adopt, Answered, Begin, Delete, Follow, Leave, Refusal, Stop};

use crate::{
    SessionView,
    env::Env,
    shard::Place,
    state::Served,
    store::{Fence, SessionKey, StoreError},
};
use actix::{Actor, Context};
use outbox::Outbox;
use parked::Parked;
use protocol::{ErrorCode, Failure};
use std::{collections::VecDeque, sync::Arc};
use turns::{Pending, Running};

/// The session's state in memory.
pub(crate) struct Kept {
    pub view: SessionView,
    /// By whom its last turn was answered.
    pub served: Option<Served>,
    /// The right to write to the store; `None`: it is not kept there and the session ends with its turn.
    pub hold: Option<Hold>,
}

/// What the store expects of the next write.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub fence: Fence,
    /// The count of saves.
    pub write: u64,
}

/// The actor of one session.
pub(crate) struct Session {
    env: Arc<Env>,
    place: Place,
    kept: Option<Kept>,
    /// Why there is nothing to do here.
    broken: Option<Refusal>,
    /// Boxed, since most sessions in memory are idle.
    running: Option<Box<Running>>,
    pending: VecDeque<Pending>,
    /// Open messages that nobody awaits now.
    parked: Vec<Parked>,
    /// The place of the next message in their order.
    next_place: u64,
    outbox: Outbox,
    /// Turns whose end without an answer is not stored yet.
    closing: usize,
    leaving: bool,
    /// Another node may own the session: there is nothing to give back.
    is_overtaken: bool,
}

impl Session {
    pub fn new(env: Arc<Env>, place: Place, kept: Option<Kept>) -> Self {
        Self {
            env,
            place,
            kept,
            broken: None,
            running: None,
            pending: VecDeque::new(),
            parked: Vec::new(),
            next_place: 0,
            outbox: Outbox::default(),
            closing: 0,
            leaving: false,
            is_overtaken: false,
        }
    }

    fn key(&self) -> &SessionKey {
        &self.place.key
    }

    /// What the actor holds, if it still serves the session.
    fn kept(&self) -> Answered<&Kept> {
        match (&self.broken, &self.kept) {
            _ if self.leaving => Err(Refusal::Gone),
            (Some(refusal), _) => Err(refusal.clone()),
            (None, Some(kept)) => Ok(kept),
            (None, None) => Err(Refusal::Gone),
        }
    }

    /// The right to write to the store, where the session is kept there.
    fn hold(&self) -> Option<&Hold> {
        self.kept.as_ref()?.hold.as_ref()
    }

    /// Whether the session ends with its turn.
    fn is_stateless(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.hold.is_none())
    }

    /// Notes that the session was used, and how.
    fn touch(&self) {
        self.place.activity.touch(self.running.is_some(), self.env.now());
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.env.config.mailbox);
        self.touch();
        if self.kept.is_none() {
            self.claim(ctx);
        }
        self.watch_idle(ctx);
    }
}

pub(crate) fn not_found() -> Failure {
    Failure::new(ErrorCode::SessionNotFound, "no such session; create one with POST /v1/sessions")
}

/// What a client is told of a store's error.
pub(crate) fn store_failure(error: &StoreError) -> Failure {
    match error {
        StoreError::Conflict => {
            Failure::new(ErrorCode::Conflict, "the session was changed elsewhere; send the message again")
        }
        StoreError::Full => Failure::new(ErrorCode::Overloaded, "the session store is full; try again later"),
        StoreError::Unavailable(_) => {
            tracing::warn!(%error, "the session store failed");
            Failure::new(ErrorCode::Unavailable, "the session store does not answer; try again shortly")
        }
    }
}
