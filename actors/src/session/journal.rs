//! Events of a turn on their way to its readers: the store has them before anybody sees them, so that another owner goes
//! on after what was seen. While the store is asked, the next ones gather.

use super::{Session, commit::again, open::Seen, store_failure, turns::Running};
use crate::{
    store::StoreError,
    turn::{Answer, Input},
};
use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use bytes::Bytes;
use protocol::{JobId, Timestamp, TurnEvent};

/// What of a turn is not shown yet.
#[derive(Default)]
pub(super) struct Journal {
    waiting: Vec<Seen>,
    /// What the store is being asked to keep.
    asked: Option<(SpawnHandle, Vec<Seen>)>,
    /// The answer that is to be stored once the store has answered.
    pub then: Option<Answer>,
    /// Bytes of the texts of the answer's pieces, in order.
    pub pieces: Vec<u32>,
}

impl Journal {
    /// Of a turn of which `shown` was shown already.
    pub fn of(shown: &[TurnEvent]) -> Self {
        Self { pieces: shown.iter().filter_map(size).collect(), ..Self::default() }
    }

    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Ends the question to the store, so that it is not asked again after the turn.
    pub fn asking(&self) -> Option<SpawnHandle> {
        self.asked.as_ref().map(|(handle, _)| *handle)
    }

    /// All that is not shown yet, in order.
    fn rest(&mut self) -> Vec<Seen> {
        let mut rest = self.asked.take().map(|(_, seen)| seen).unwrap_or_default();
        rest.append(&mut self.waiting);
        rest
    }
}

impl Running {
    /// Shows `events` to the readers.
    fn emit_all(&mut self, events: impl IntoIterator<Item = Seen>, now: Timestamp) {
        for Seen { event, tokens } in events {
            self.observed.event(&event, now);
            self.tokens = tokens;
            self.log.emit(event);
        }
    }
}

fn size(event: &TurnEvent) -> Option<u32> {
    let TurnEvent::Token { text, .. } = event else { return None };
    Some(u32::try_from(text.len()).unwrap_or(u32::MAX))
}

impl Session {
    /// The turn has something to show.
    pub(super) fn show(&mut self, event: TurnEvent, now: Timestamp, ctx: &mut Context<Self>) {
        let is_kept = self.hold().is_some();
        if matches!(event, TurnEvent::Failed(_)) && self.fails_unseen() {
            return self.running.iter_mut().for_each(|running| running.observed.event(&event, now));
        }
        let Some(running) = &mut self.running else { return };
        running.journal.pieces.extend(size(&event));
        let (is_last, tokens) = (event.is_last(), running.turn.tokens());
        running.journal.waiting.push(Seen { event, tokens });
        // What is stored with the answer need not be kept apart from it.
        if !is_last && is_kept && !running.is_stored {
            return self.ask_store(ctx);
        }
        // After the last event nobody goes on from here, so the store need not have the rest before it is seen.
        if let Some(asking) = running.journal.asking() {
            ctx.cancel_future(asking);
        }
        let rest = running.journal.rest();
        running.emit_all(rest, now);
        if is_kept && !running.is_stored && !self.is_overtaken {
            let turn = running.log.job().clone();
            self.close(turn, ctx);
        }
    }

    fn ask_store(&mut self, ctx: &mut Context<Self>) {
        let Some(fence) = self.hold().map(|hold| hold.fence.clone()) else { return };
        let Some(running) = &mut self.running else { return };
        if running.journal.is_asking() || running.journal.waiting.is_empty() || running.journal.then.is_some() {
            return;
        }
        let mut seen = std::mem::take(&mut running.journal.waiting);
        let events: Vec<Bytes> = seen.iter().filter_map(|seen| seen.encode().ok()).collect();
        let from = usize::try_from(running.log.next_seq()).unwrap_or(usize::MAX);
        let (turn, until) = (running.log.job().clone(), running.deadline);
        let (env, key, of) = (self.env.clone(), self.key().clone(), turn.clone());
        let show = async move { again(&env, until, || env.store.show(&key, &fence, &turn, from, &events)).await };
        let asking = ctx.spawn(show.into_actor(self).map(move |shown, session, ctx| session.shown(&of, shown, ctx)));
        self.running.iter_mut().for_each(|running| running.journal.asked = Some((asking, std::mem::take(&mut seen))));
    }

    fn shown(&mut self, turn: &JobId, result: Result<(), StoreError>, ctx: &mut Context<Self>) {
        let now = self.env.now();
        let Some(running) = self.running.as_mut().filter(|running| running.log.job() == turn) else { return };
        let Some((_, seen)) = running.journal.asked.take() else { return };
        match result {
            Ok(()) => {
                running.emit_all(seen, now);
                match running.journal.then.take() {
                    Some(answer) => self.store_answer(answer, ctx),
                    None => self.ask_store(ctx),
                }
            }
            // Nobody has seen them: they stay in front of those that wait, until the turn fails at its deadline.
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full)) => {
                running.journal.waiting.splice(..0, seen);
                if running.journal.then.take().is_some() {
                    self.feed(turn, Input::CommitFailed(store_failure(&error)), ctx);
                }
            }
            Err(StoreError::Conflict) => self.overtaken_in(turn, ctx),
        }
    }
}
