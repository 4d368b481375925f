//! What the actor answers to each request.

use super::{
    Answered, Begin, Delete, Leave, Refusal, Session, Stop, View, not_found, store_failure,
    turns::{Pending, another_message, replay, too_many_pending},
};
use crate::{SessionView, TurnLog, TurnStream, ask::Ask, turn::Input};
use actix::{ActorFutureExt, AtomicResponse, Context, Handler, WrapFuture};
use protocol::{ClientMessageId, ErrorCode, Failure, Submit};

impl Handler<Begin> for Session {
    type Result = Answered<TurnStream>;

    fn handle(&mut self, Begin { ask, parent }: Begin, ctx: &mut Context<Self>) -> Self::Result {
        let known = self.known(&ask)?;
        self.touch();
        if let Some(stream) = known {
            return Ok(stream);
        }
        if let Err(refusal) = self.admit(&ask) {
            if self.is_stateless() {
                self.leave(ctx);
            }
            return Err(refusal);
        }
        let (log, accepted) = (TurnLog::new(self.env.new_job()), self.env.now());
        let stream = log.reader();
        let (slot, watch) = (self.env.load.turn(), self.watch_readers(&log, ctx));
        let pending = Pending { ask, log, parent, accepted, slot, watch };
        match self.running {
            Some(_) => self.pending.push_back(pending),
            None => self.start(pending, ctx),
        }
        self.touch();
        Ok(stream)
    }
}

impl Session {
    /// The turn that answers this very message already: it runs, it waits, or it is stored. Refuses another message under
    /// the name of an earlier one.
    fn known(&self, ask: &Ask) -> Answered<Option<TurnStream>> {
        let kept = self.kept()?;
        let Ask::Message(submit) = ask else { return Ok(None) };
        let Some(id) = &submit.client_message_id else { return Ok(None) };
        let unfinished = self.unfinished(id).map(|(text, log)| (text, log.reader()));
        match unfinished.or_else(|| Some((kept.view.question(id)?, replay(&kept.view, id)?))) {
            Some((text, _)) if text != submit.content => Err(another_message().into()),
            known => Ok(known.map(|(_, stream)| stream)),
        }
    }

    /// The text of the message that its client called `id`, and its turn's log.
    fn unfinished(&self, id: &ClientMessageId) -> Option<(&str, &TurnLog)> {
        let running = self.running.iter().map(|r| (r.submit(), &r.log));
        let pending = self.pending.iter().map(|p| (p.submit(), &p.log));
        let named = |(submit, log)| {
            Some((submit?, log)).filter(|(s, _): &(&Submit, _)| s.client_message_id.as_ref() == Some(id))
        };
        running.chain(pending).find_map(named).map(|(submit, log)| (submit.content.as_str(), log))
    }

    /// Refuses a turn that could not be run, before it is accepted.
    fn admit(&self, ask: &Ask) -> Answered<()> {
        if self.env.load.is_draining() {
            let message = "this node is shutting down; try again shortly";
            return Err(Failure::new(ErrorCode::Unavailable, message).into());
        }
        let limit = self.env.config.pending_messages;
        if self.running.is_some() && self.pending.len() >= limit {
            return Err(too_many_pending(limit).into());
        }
        Ok(ask.fits(&self.env, &self.key().tenant, &self.kept()?.view)?)
    }
}

impl Handler<View> for Session {
    type Result = Answered<SessionView>;

    fn handle(&mut self, _: View, _: &mut Context<Self>) -> Self::Result {
        let view = self.kept()?.view.clone();
        self.touch();
        Ok(view)
    }
}

impl Handler<Stop> for Session {
    type Result = Answered<()>;

    fn handle(&mut self, Stop(turn): Stop, ctx: &mut Context<Self>) -> Self::Result {
        self.kept()?;
        self.touch();
        let running = self.running.as_ref().map(|running| running.log.job().clone());
        if let Some(turn) = turn.or(running) {
            match self.take_pending(&turn) {
                Some(waiting) => waiting.stopped(),
                None => self.feed(&turn, Input::Stop, ctx),
            }
        }
        Ok(())
    }
}

impl Handler<Delete> for Session {
    type Result = AtomicResponse<Self, Answered<()>>;

    fn handle(&mut self, _: Delete, ctx: &mut Context<Self>) -> Self::Result {
        let kept = self.kept().map(|_| ());
        if kept.is_ok() {
            self.broken = Some(not_found());
            self.fail_all(&not_found(), ctx);
        }
        let (env, key) = (self.env.clone(), self.key().clone());
        let delete = async move {
            kept?;
            env.store.delete(&key).await.map_err(|error| Refusal::Failed(store_failure(&error)))
        };
        AtomicResponse::new(Box::pin(
            delete.into_actor(self).map(|deleted, session, ctx| session.deleted(deleted, ctx)),
        ))
    }
}

impl Session {
    fn deleted(&mut self, deleted: Answered<bool>, ctx: &mut Context<Self>) -> Answered<()> {
        let was_there = deleted.inspect_err(|refusal| {
            if self.kept.is_some() && *refusal != Refusal::Gone {
                self.broken = None;
            }
        })?;
        self.leave(ctx);
        if was_there { Ok(()) } else { Err(not_found().into()) }
    }
}

impl Handler<Leave> for Session {
    type Result = bool;

    fn handle(&mut self, Leave(failure): Leave, ctx: &mut Context<Self>) -> bool {
        match failure {
            Some(failure) => {
                self.leaving = true;
                self.fail_all(&failure, ctx);
                self.passivate(ctx);
            }
            None if self.is_idle() && !self.leaving => self.passivate(ctx),
            None => {}
        }
        self.leaving
    }
}
