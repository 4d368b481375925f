//! Leaving memory: because nothing happens, because another node owns the session, or because this one stops.

use super::{Leave, Refusal, Session};
use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture, prelude::ActorContext};
use protocol::{ErrorCode, Failure, JobId};
use runtime::metric;
use std::time::Duration;

/// A store that does not answer is asked for this long to forget a turn.
const CLOSING_MS: u64 = 60_000;
/// The store must take a release within this time; a session that is not released is still this node's, no harm done.
const PATIENCE: Duration = Duration::from_millis(150);

impl Session {
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.pending.is_empty() && self.outbox.is_empty() && self.closing == 0
    }

    /// Takes no more requests, and stops once what runs has ended and the session is released.
    pub(super) fn leave(&mut self, ctx: &mut Context<Self>) {
        self.leaving = true;
        if !self.is_idle() {
            return;
        }
        let hold = self.kept.take().and_then(|kept| kept.hold).filter(|_| !self.is_overtaken);
        let Some(hold) = hold else { return ctx.stop() };
        let (env, key) = (self.env.clone(), self.key().clone());
        let release = async move {
            let released = tokio::time::timeout(PATIENCE, env.store.release(&key, &hold.fence)).await;
            if !matches!(released, Ok(Ok(()))) {
                tracing::debug!(session = %key.session, "a session that leaves memory is not released");
            }
        };
        ctx.wait(release.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }

    pub(super) fn passivate(&mut self, ctx: &mut Context<Self>) {
        metrics::counter!(metric::SESSIONS_PASSIVATED).increment(1);
        self.leave(ctx);
    }

    /// Passivates after the idle time, or looks again when it could have passed.
    pub(super) fn watch_idle(&mut self, ctx: &mut Context<Self>) {
        let until = self.place.activity.used().after_ms(self.env.config.idle_ms);
        let left = until.ms_from(self.env.now());
        if left == 0 && self.is_idle() && !self.leaving {
            return self.passivate(ctx);
        }
        ctx.run_later(Duration::from_millis(left.max(10)), |session, ctx| session.watch_idle(ctx));
    }

    /// A write was refused: another node owns the session, or it was deleted. What runs goes on there.
    pub(super) fn overtaken(&mut self, ctx: &mut Context<Self>) {
        if !self.is_overtaken {
            metrics::counter!(metric::STALE_WRITES).increment(1);
        }
        self.is_overtaken = true;
        self.give_up(ctx);
    }

    fn give_up(&mut self, ctx: &mut Context<Self>) {
        self.leaving = true;
        self.abandon_all(ctx);
        self.flush(ctx);
        self.settle(ctx);
    }

    /// `turn` has ended without an answer; until the store knows, the actor stays.
    pub(super) fn close(&mut self, turn: JobId, ctx: &mut Context<Self>) {
        let Some(fence) = self.hold().map(|hold| hold.fence.clone()) else { return };
        let (env, key, until) = (self.env.clone(), self.key().clone(), self.env.now().after_ms(CLOSING_MS));
        let close = async move { super::commit::again(&env, until, || env.store.close(&key, &fence, &turn)).await };
        self.closing += 1;
        ctx.spawn(close.into_actor(self).map(|closed, session, ctx| {
            session.closing -= 1;
            match closed {
                Err(crate::store::StoreError::Conflict) => session.overtaken(ctx),
                _ => session.settle(ctx),
            }
        }));
    }
}

impl Handler<Leave> for Session {
    type Result = bool;

    fn handle(&mut self, why: Leave, ctx: &mut Context<Self>) -> bool {
        match why {
            Leave::IfIdle if self.is_idle() && !self.leaving => self.passivate(ctx),
            Leave::IfIdle => {}
            Leave::NotOwner if self.is_stateless() || self.is_claimed_anew() => {}
            Leave::NotOwner => {
                self.is_overtaken = true;
                self.give_up(ctx);
            }
            Leave::Shutdown if self.is_stateless() => {
                self.leaving = true;
                self.fail_all(&shutting_down(), ctx);
                self.leave(ctx);
            }
            Leave::Shutdown => self.give_up(ctx),
        }
        self.leaving
    }
}

pub(crate) fn shutting_down() -> Failure {
    Failure::new(ErrorCode::Unavailable, "this node is shutting down; send the message again")
}

impl Session {
    /// Whether it was claimed after the node lost its lease, in its life of now.
    fn is_claimed_anew(&self) -> bool {
        let member = self.env.lease.member();
        self.hold().is_some_and(|hold| Some(&hold.fence.by) == member.as_ref())
    }

    /// Why a new turn is not taken, if the node stops.
    pub(super) fn accepts(&self) -> Result<(), Refusal> {
        if self.env.load.is_draining() { Err(shutting_down().into()) } else { Ok(()) }
    }
}
