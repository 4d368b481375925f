//! The running turn's steps: what happened goes into its machine, what it wants done is done.

use super::{Session, outbox::Outgoing};
use crate::{
    affinity::Outcome,
    publish::Job,
    turn::{Effect, Input},
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use protocol::{JobId, Timestamp, TurnEvent};
use std::{collections::VecDeque, time::Duration};

impl Session {
    /// Something happened to `turn`; if it does not run any more, nothing is done.
    pub(super) fn feed(&mut self, turn: &JobId, input: Input, ctx: &mut Context<Self>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.env.now();
            let Some(running) = self.running.as_mut().filter(|running| running.log.job() == turn) else { return };
            let todo = running.turn.on(input, now);
            inputs.extend(self.perform_all(todo, ctx));
        }
        self.flush(ctx);
        self.settle(ctx);
    }

    pub(super) fn perform_all(&mut self, todo: Vec<Effect>, ctx: &mut Context<Self>) -> Vec<Input> {
        let now = self.env.now();
        todo.into_iter().filter_map(|effect| self.perform(effect, now, ctx)).collect()
    }

    /// Does what the machine wants, and returns what came of it at once.
    fn perform(&mut self, effect: Effect, now: Timestamp, ctx: &mut Context<Self>) -> Option<Input> {
        let tenant = self.place.key.tenant.clone();
        let running = self.running.as_mut()?;
        match effect {
            Effect::Recall(found) => self.recall(found, ctx),
            Effect::Retrieve { job: id, deadline, body } => {
                if let Err(failure) = running.held.search(&self.env, &tenant) {
                    return Some(Input::Refused { job: id, failure });
                }
                running.observed.retrieval();
                let traceparent = running.observed.traceparent();
                self.push(Outgoing::Retrieve(Job { tenant, id, deadline, traceparent, body }))
            }
            Effect::Infer { job: id, deadline, body, worker } => {
                let traceparent = running.observed.traceparent();
                let job = Box::new(Job { tenant, id, deadline, traceparent, body: *body });
                self.infer(job, worker, now, ctx)
            }
            Effect::Cancel(job) => self.withdraw(job, ctx),
            Effect::Started { worker, model } => {
                running.held.started();
                if let Some(asked) = running.served_by(worker.clone()) {
                    let outcome = if asked == worker { Outcome::Hit } else { Outcome::Spill };
                    self.env.affinity.note(&asked, outcome, now);
                }
                if let Some(served) = running.served.clone() {
                    self.env.affinity.served(&tenant, &running.ask, served);
                }
                running.memory.began(&model);
                self.env.cache.iter().for_each(|cache| cache.began(&model));
                running.observed.model(&model);
                running.log.set_model(model);
                None
            }
            Effect::Judge(part, verdict) => {
                running.held.judge(part, verdict);
                None
            }
            Effect::Emit(event) => {
                if matches!(event, TurnEvent::Failed(_)) {
                    running.memory.failed(running.log.is_read());
                }
                self.show(event, now, ctx);
                None
            }
            Effect::Commit(answer) => {
                running.memory.answered(&answer);
                self.commit(answer, ctx)
            }
        }
    }

    pub(super) fn push(&mut self, message: Outgoing) -> Option<Input> {
        let refused = self.outbox.push(message).err();
        refused.map(|(job, failure)| Input::PublishFailed { job, failure })
    }

    /// Sends what waits, one message after another.
    pub(super) fn flush(&mut self, ctx: &mut Context<Self>) {
        let Some(message) = self.outbox.next() else { return };
        let env = self.env.clone();
        let sent = async move { message.send(&env).await }.into_actor(self);
        ctx.spawn(sent.map(|result, session, ctx| {
            session.outbox.sent();
            let turn = session.running.as_ref().map(|running| running.log.job().clone());
            match (result, turn) {
                (Err((job, failure)), Some(turn)) => session.feed(&turn, Input::PublishFailed { job, failure }, ctx),
                (Ok(true), Some(_)) => session.running.iter_mut().for_each(|running| running.sent_to = None),
                _ => {}
            }
            session.flush(ctx);
            session.settle(ctx);
        }));
    }

    /// After a step: lets an ended turn go and starts the next, or sets the timer; leaves when that was asked for.
    pub(super) fn settle(&mut self, ctx: &mut Context<Self>) {
        if self.running.as_ref().is_some_and(|running| running.turn.is_done()) {
            self.end(ctx);
            self.leaving |= self.is_stateless();
            self.start_next(ctx);
            self.touch();
        }
        self.arm(ctx);
        if self.leaving {
            self.leave(ctx);
        }
    }

    pub(super) fn start_next(&mut self, ctx: &mut Context<Self>) {
        while !self.leaving && self.running.is_none() {
            let Some(next) = self.pending.pop_front() else { return self.pending.shrink_to_fit() };
            self.start(next, ctx);
        }
    }

    /// Makes sure that the turn is woken when it wants to be; a timer that fires early does no harm.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let now = self.env.now();
        let Some(running) = &mut self.running else { return };
        let Some(at) = running.turn.wake_at() else { return };
        match running.timer {
            Some((due, _)) if due <= at => return,
            Some((_, later)) => ctx.cancel_future(later),
            None => false,
        };
        let turn = running.log.job().clone();
        let wait = Duration::from_millis(at.ms_from(now).max(1));
        let handle = ctx.run_later(wait, move |session, ctx| {
            if let Some(running) = session.running.as_mut().filter(|running| *running.log.job() == turn) {
                running.timer = None;
            }
            session.feed(&turn, Input::Tick, ctx);
        });
        running.timer = Some((at, handle));
    }
}
