//! What the actor answers to each request.

use super::{
    Adopt, Answered, Begin, Delete, Follow, Refusal, Session, Stop, not_found,
    open::Open,
    replay::{replay, replay_turn},
    store_failure,
    turns::{Pending, another_message, no_such_turn, too_many_pending},
};
use crate::{TurnLog, TurnStream, ask::Ask, store::StoreError, turn::Input};
use actix::{ActorFutureExt, AtomicResponse, Context, Handler, WrapFuture, fut};
use protocol::{ClientMessageId, Failure, JobId, Submit};

impl Handler<Begin> for Session {
    type Result = AtomicResponse<Self, Answered<TurnStream>>;

    fn handle(&mut self, Begin { ask, parent }: Begin, ctx: &mut Context<Self>) -> Self::Result {
        let known = self.known(&ask, ctx).and_then(|known| match known {
            Some(stream) => Ok(Some(stream)),
            None => self.admit(&ask).map(|()| None),
        });
        self.touch();
        match known {
            Ok(Some(stream)) => AtomicResponse::new(Box::pin(fut::ready(Ok(stream)))),
            Ok(None) => self.accept(ask, parent),
            Err(refusal) => {
                if self.is_stateless() {
                    self.leave(ctx);
                }
                AtomicResponse::new(Box::pin(fut::ready(Err(refusal))))
            }
        }
    }
}

impl Session {
    /// The turn that answers this very message already: it runs, it waits, it was left, or it is stored. Refuses another
    /// message under the name of an earlier one.
    fn known(&mut self, ask: &Ask, ctx: &mut Context<Self>) -> Answered<Option<TurnStream>> {
        self.kept()?;
        let Ask::Message(submit) = ask else { return Ok(None) };
        let Some(id) = &submit.client_message_id else { return Ok(None) };
        if self.parked_as(id).is_some() {
            self.resume_parked(ctx);
        }
        let view = &self.kept()?.view;
        let unfinished = self.unfinished(id).map(|(text, log)| (text, log.reader()));
        match unfinished.or_else(|| Some((view.question(id)?, replay(view, id)?))) {
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
        self.accepts()?;
        let limit = self.env.config.pending_messages;
        let replaces = matches!(ask, Ask::Message(submit) if submit.replace);
        let waits = self.pending.len() >= limit || self.pending.len() + self.parked.len() > 2 * limit;
        if self.running.is_some() && waits && !replaces {
            return Err(too_many_pending(limit).into());
        }
        Ok(ask.fits(&self.env, &self.key().tenant, &self.kept()?.view)?)
    }

    /// The message is kept in the store before its client hears that it was accepted.
    fn accept(&mut self, ask: Ask, parent: tracing::Span) -> AtomicResponse<Self, Answered<TurnStream>> {
        let (turn, accepted, place) = (self.env.new_job(), self.env.now(), self.next_place);
        self.next_place += 1;
        let kept = self.keep(&ask, &turn, place);
        AtomicResponse::new(Box::pin(kept.map(move |kept, session: &mut Self, ctx| {
            match kept {
                Ok(()) => Ok(session.accepted(ask, turn, place, accepted, parent, ctx)),
                Err(StoreError::Conflict) => {
                    session.overtaken(ctx);
                    Err(Refusal::Gone)
                }
                Err(error) => {
                    // It may have arrived.
                    session.close(turn, ctx);
                    Err(store_failure(&error).into())
                }
            }
        })))
    }

    fn keep(
        &self,
        ask: &Ask,
        turn: &JobId,
        place: u64,
    ) -> impl actix::ActorFuture<Self, Output = Result<(), StoreError>> + 'static {
        let kept = match (self.hold(), ask) {
            (Some(hold), Ask::Message(submit)) => {
                Some((hold.fence.clone(), Open::new(turn.clone(), place, self.env.now(), submit.clone())))
            }
            _ => None,
        };
        let (env, key, turn) = (self.env.clone(), self.key().clone(), turn.clone());
        let keep = async move {
            let Some((fence, open)) = kept else { return Ok(()) };
            let message = open.encode().map_err(|error| StoreError::Unavailable(error.to_string()))?;
            env.store.accept(&key, &fence, &turn, message).await
        };
        keep.into_actor(self)
    }

    fn accepted(
        &mut self,
        ask: Ask,
        turn: JobId,
        place: u64,
        accepted: protocol::Timestamp,
        parent: tracing::Span,
        ctx: &mut Context<Self>,
    ) -> TurnStream {
        if matches!(&ask, Ask::Message(submit) if submit.replace) {
            self.stop_all(ctx);
        }
        self.resume_parked(ctx);
        let log = TurnLog::new(turn);
        let stream = log.reader();
        let (slot, watch) = (self.env.load.turn(), self.watch_readers(&log, false, ctx));
        self.pending.push_back(Pending {
            ask,
            log,
            parent,
            place,
            accepted,
            slot,
            watch,
            is_left: false,
            resumes: None,
            failures: 0,
        });
        self.start_next(ctx);
        self.touch();
        stream
    }

    /// The turn that runs and those that wait end with what was shown of them.
    fn stop_all(&mut self, ctx: &mut Context<Self>) {
        for waiting in std::mem::take(&mut self.pending) {
            self.stop_waiting(waiting, ctx);
        }
        for parked in std::mem::take(&mut self.parked) {
            self.close(parked.open.turn, ctx);
        }
        if let Some(turn) = self.running.as_ref().map(|running| running.log.job().clone()) {
            self.feed(&turn, Input::Stop, ctx);
        }
    }

    fn stop_waiting(&mut self, waiting: Pending, ctx: &mut Context<Self>) {
        let turn = waiting.log.job().clone();
        waiting.stopped();
        self.close(turn, ctx);
    }
}

impl Handler<Follow> for Session {
    type Result = Answered<TurnStream>;

    fn handle(&mut self, Follow(turn): Follow, ctx: &mut Context<Self>) -> Self::Result {
        self.kept()?;
        if self.is_parked(&turn) {
            self.resume_parked(ctx);
        }
        self.touch();
        let logs = self.running.iter().map(|r| &r.log).chain(self.pending.iter().map(|p| &p.log));
        let unfinished = logs.into_iter().find(|log| *log.job() == turn).map(TurnLog::reader);
        let found = unfinished.or_else(|| replay_turn(&self.kept.as_ref()?.view, &turn));
        Ok(found.ok_or_else(no_such_turn)?)
    }
}

impl Handler<Adopt> for Session {
    type Result = Answered<()>;

    fn handle(&mut self, _: Adopt, ctx: &mut Context<Self>) -> Self::Result {
        self.kept()?;
        self.resume_parked(ctx);
        Ok(())
    }
}

impl Handler<Stop> for Session {
    type Result = Answered<()>;

    fn handle(&mut self, Stop(turn): Stop, ctx: &mut Context<Self>) -> Self::Result {
        self.kept()?;
        self.touch();
        let running = self.running.as_ref().map(|running| running.log.job().clone());
        if let Some(turn) = turn.or(running) {
            if self.is_parked(&turn) {
                self.resume_parked(ctx);
            }
            match self.take_pending(&turn) {
                Some(waiting) => self.stop_waiting(waiting, ctx),
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
            self.broken = Some(not_found().into());
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
            if self.kept.is_some() && matches!(refusal, Refusal::Failed(_)) {
                self.broken = None;
            }
        })?;
        self.is_overtaken = true;
        self.leave(ctx);
        if was_there { Ok(()) } else { Err(Failure::into(not_found())) }
    }
}
