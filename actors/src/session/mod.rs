//! The session actor: one conversation, one turn at a time.

mod commit;
mod handlers;
mod held;
mod messages;
mod observe;
mod outbox;
mod steps;
mod turns;

pub(crate) use messages::{Answered, Begin, Delete, Leave, Refusal, Stop, View};

use crate::{
    SessionView,
    env::Env,
    shard::Place,
    state::{self, Served},
    store::{SessionKey, StoreError, Stored, Version},
};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture, prelude::ActorContext};
use outbox::Outbox;
use protocol::{ErrorCode, Failure};
use runtime::metric;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use turns::{Pending, Running};

/// An actor without a session answers for this long, so that those who wait for it learn why.
const LINGER: Duration = Duration::from_millis(200);

/// The session's state in memory.
pub(crate) struct Kept {
    pub view: SessionView,
    /// By whom its last turn was answered.
    pub served: Option<Served>,
    /// As in the store; `None`: it is not kept there and the session ends with its turn.
    pub version: Option<Version>,
}

/// The actor of one session.
pub(crate) struct Session {
    env: Arc<Env>,
    place: Place,
    kept: Option<Kept>,
    /// Why there is nothing to do here.
    broken: Option<Failure>,
    running: Option<Running>,
    pending: VecDeque<Pending>,
    outbox: Outbox,
    leaving: bool,
}

impl Session {
    pub fn new(env: Arc<Env>, place: Place, kept: Option<Kept>) -> Self {
        let (pending, outbox) = (VecDeque::new(), Outbox::default());
        Self { env, place, kept, broken: None, running: None, pending, outbox, leaving: false }
    }

    fn key(&self) -> &SessionKey {
        &self.place.key
    }

    /// What the actor holds, if it still serves the session.
    fn kept(&self) -> Answered<&Kept> {
        match (&self.broken, &self.kept) {
            _ if self.leaving => Err(Refusal::Gone),
            (Some(failure), _) => Err(Refusal::Failed(failure.clone())),
            (None, Some(kept)) => Ok(kept),
            (None, None) => Err(Refusal::Gone),
        }
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        let (env, key) = (self.env.clone(), self.key().clone());
        let load = async move { env.store.load(&key).await };
        ctx.wait(load.into_actor(self).map(|loaded, session, ctx| session.loaded(loaded, ctx)));
    }

    fn loaded(&mut self, loaded: Result<Option<Stored>, StoreError>, ctx: &mut Context<Self>) {
        let kept = match loaded {
            Ok(Some(stored)) => state::decode(&stored.state)
                .map(|(view, served)| Kept { view, served, version: Some(stored.version) })
                .map_err(|error| unreadable(self.key(), &error)),
            Ok(None) => Err(not_found()),
            Err(error) => Err(store_failure(&error)),
        };
        match kept {
            Ok(kept) => self.kept = Some(kept),
            Err(failure) => {
                self.broken = Some(failure);
                ctx.run_later(LINGER, |session, ctx| session.leave(ctx));
            }
        }
    }

    /// Whether the session ends with its turn.
    fn is_stateless(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.version.is_none())
    }

    fn is_idle(&self) -> bool {
        self.running.is_none() && self.pending.is_empty() && self.outbox.is_empty()
    }

    /// Notes that the session was used, and how.
    fn touch(&self) {
        self.place.activity.touch(self.running.is_some(), self.env.now());
    }

    /// Takes no more requests, and stops once what runs has ended.
    fn leave(&mut self, ctx: &mut Context<Self>) {
        self.leaving = true;
        if self.is_idle() {
            ctx.stop();
        }
    }

    fn passivate(&mut self, ctx: &mut Context<Self>) {
        metrics::counter!(metric::SESSIONS_PASSIVATED).increment(1);
        self.leave(ctx);
    }

    /// Passivates after the idle time, or looks again when it could have passed.
    fn watch_idle(&mut self, ctx: &mut Context<Self>) {
        let until = self.place.activity.used().after_ms(self.env.config.idle_ms);
        let left = until.ms_from(self.env.now());
        if left == 0 && self.is_idle() && !self.leaving {
            return self.passivate(ctx);
        }
        ctx.run_later(Duration::from_millis(left.max(10)), |session, ctx| session.watch_idle(ctx));
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.env.config.mailbox);
        self.touch();
        if self.kept.is_none() {
            self.load(ctx);
        }
        self.watch_idle(ctx);
    }
}

fn not_found() -> Failure {
    Failure::new(ErrorCode::SessionNotFound, "no such session; create one with POST /v1/sessions")
}

fn unreadable(key: &SessionKey, error: &str) -> Failure {
    tracing::error!(session = %key.session, tenant = %key.tenant, error, "a stored session cannot be read");
    Failure::new(ErrorCode::Internal, "the stored session cannot be read by this version")
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
