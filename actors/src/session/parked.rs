//! Open messages that are not being answered: their owner died, or nobody awaits them any more. They are kept, and answered
//! before the next message, or when somebody asks for them.

use super::{Session, open::Open, turns::Pending};
use crate::{TurnLog, ask::Ask};
use actix::{AsyncContext, Context};
use protocol::{ClientMessageId, JobId, TurnEvent};
use tracing::Span;

/// An open message and what was shown of its answer.
pub(super) struct Parked {
    pub open: Open,
    pub shown: Vec<TurnEvent>,
    /// Tokens that were generated for it.
    pub tokens: u32,
    /// How often it failed while nobody read it.
    pub failures: u32,
}

/// A turn that fails so often while nobody reads it has failed.
const FAILURES: u32 = 2;

impl Session {
    pub(super) fn parked_as(&self, id: &ClientMessageId) -> Option<&Open> {
        let is_it = |open: &&Open| open.submit.client_message_id.as_ref() == Some(id);
        self.parked.iter().map(|parked| &parked.open).find(is_it)
    }

    pub(super) fn is_parked(&self, turn: &JobId) -> bool {
        self.parked.iter().any(|parked| parked.open.turn == *turn)
    }

    /// All of them wait for their answers again, in front of those that wait.
    pub(super) fn resume_parked(&mut self, ctx: &mut Context<Self>) {
        for parked in std::mem::take(&mut self.parked) {
            let pending = self.resumed(parked, ctx);
            self.pending.push_back(pending);
        }
        self.pending.make_contiguous().sort_by_key(|pending| pending.place);
        self.start_next(ctx);
        self.touch();
    }

    fn resumed(&self, Parked { open, shown, tokens, failures }: Parked, ctx: &mut Context<Self>) -> Pending {
        let log = TurnLog::resumed(open.turn, shown);
        let watch = self.watch_readers(&log, true, ctx);
        Pending {
            ask: Ask::Message(open.submit),
            log,
            parent: Span::none(),
            place: open.place,
            // It has waited long enough without its fault.
            accepted: self.env.now(),
            slot: self.env.load.turn(),
            watch,
            is_left: false,
            resumes: Some(tokens),
            failures,
        }
    }

    /// Nobody has read the turn for the grace. It ends for now, unless somebody awaits one behind it.
    pub(super) fn left(&mut self, turn: &JobId, ctx: &mut Context<Self>) {
        if let Some(at) = self.pending.iter().position(|pending| pending.log.job() == turn) {
            let watch = self.watch_readers(&self.pending[at].log, true, ctx);
            (self.pending[at].is_left, self.pending[at].watch) = (true, watch);
        } else if self.running.as_ref().is_some_and(|running| running.log.job() == turn) {
            let watch = self.running.as_ref().map(|running| self.watch_readers(&running.log, true, ctx));
            self.running.iter_mut().zip(watch).for_each(|(running, watch)| running.left(watch));
        }
        while let Some(last) = self.last_left() {
            if !self.park(&last, ctx) {
                break;
            }
        }
    }

    /// The session's last turn, if nobody awaits it.
    fn last_left(&self) -> Option<JobId> {
        let running = self.running.as_ref().map(|running| (&running.log, running.is_left));
        let (log, is_left) = self.pending.back().map(|pending| (&pending.log, pending.is_left)).or(running)?;
        (is_left && !log.is_read()).then(|| log.job().clone())
    }

    fn park(&mut self, turn: &JobId, ctx: &mut Context<Self>) -> bool {
        let parked = match self.take_pending(turn) {
            Some(waiting) => {
                ctx.cancel_future(waiting.watch);
                waiting.parked()
            }
            None => self.interrupt(turn, ctx),
        };
        let is_parked = parked.is_some();
        self.parked.extend(parked);
        self.parked.sort_by_key(|parked| parked.open.place);
        self.flush(ctx);
        self.settle(ctx);
        is_parked
    }

    /// A turn that fails while nobody reads it, nor awaits another one behind it, stays open for who comes back.
    pub(super) fn fails_unseen(&mut self) -> bool {
        let serves = self.broken.is_none() && !self.leaving && !self.is_overtaken && self.hold().is_some();
        let is_last = self.pending.is_empty();
        let Some(running) = self.running.as_mut().filter(|_| serves && is_last) else { return false };
        running.failures += 1;
        if running.is_stored || running.log.is_read() || running.failures > FAILURES {
            return false;
        }
        running.log.moved();
        let parked = running.parked();
        self.parked.extend(parked);
        true
    }

    /// The turn that runs ends without a word, unless its answer is being stored.
    fn interrupt(&mut self, turn: &JobId, ctx: &mut Context<Self>) -> Option<Parked> {
        let running = self.running.as_mut().filter(|running| running.log.job() == turn)?;
        let todo = running.turn.leave()?;
        running.log.moved();
        let parked = running.parked();
        self.perform_all(todo, ctx);
        parked
    }

    /// Everything goes on elsewhere.
    pub(super) fn abandon_all(&mut self, ctx: &mut Context<Self>) {
        for waiting in self.pending.drain(..) {
            waiting.log.moved();
        }
        if let Some(turn) = self.running.as_ref().map(|running| running.log.job().clone()) {
            self.interrupt(&turn, ctx);
        }
    }
}
