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
}

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

    fn resumed(&self, Parked { open, shown, tokens }: Parked, ctx: &mut Context<Self>) -> Pending {
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
            resumes: Some(tokens),
        }
    }

    /// Nobody awaits the turn: it ends for now.
    pub(super) fn park(&mut self, turn: &JobId, ctx: &mut Context<Self>) {
        let parked = match self.take_pending(turn) {
            Some(waiting) => {
                ctx.cancel_future(waiting.watch);
                waiting.parked()
            }
            None => self.interrupt(turn, ctx),
        };
        self.parked.extend(parked);
        self.parked.sort_by_key(|parked| parked.open.place);
        self.flush(ctx);
        self.settle(ctx);
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
