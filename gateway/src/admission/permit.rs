//! The right to one running turn, and what the turn costs.
//!
//! Tokens are reserved when a turn is admitted and settled once, when its end is known: as the engine counted them, or where
//! nobody counted (the turn failed) as far as they were seen. A reader that leaves pays as well: its permit waits for the end
//! of the turn, which goes on for a grace and holds its slot, and pays the whole reserve when nobody can tell what was used,
//! as of a turn that runs on another node. A second reader of a turn pays nothing: neither in the replay of a stored answer
//! nor while this node counts the turn. One that repeats its message to another node in the middle of the turn pays there,
//! too.

use super::{
    Desk, Refused,
    meter::{Meter, Name},
};
use actors::{Completion, TurnStream, estimate};
use futures_util::FutureExt;
use protocol::{JobId, Submit, TurnEvent, Usage};
use std::{pin::Pin, sync::Arc};
use tokio::time::{Instant, timeout};

/// Tokens that a chat template adds around a message.
const PER_MESSAGE: u32 = 8;

/// How many tokens a turn may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reserve(pub(super) Usage);

impl Reserve {
    /// Of a customer's message: its prompt is filled up with history and passages.
    pub(crate) fn message(_: &Submit, config: &actors::Config) -> Self {
        Self(Usage { prompt_tokens: config.prompt_tokens, completion_tokens: config.answer_tokens })
    }

    /// Of a stateless call, whose prompt is filled up only where it asks for the tenant's knowledge.
    pub(crate) fn completion(asked: &Completion, config: &actors::Config) -> Self {
        let texts = asked.messages.iter().map(|message| estimate(&message.content).saturating_add(PER_MESSAGE));
        let own = texts.fold(0u32, u32::saturating_add);
        let prompt_tokens = if asked.knowledge { config.prompt_tokens } else { own };
        Self(Usage { prompt_tokens, completion_tokens: asked.sampling.max_tokens.unwrap_or(config.answer_tokens) })
    }

    /// Of a request whose body goes to another server as it is: three bytes of it are about a token in any language.
    pub(crate) fn passing(body: usize, max_tokens: Option<u32>, config: &actors::Config) -> Self {
        let prompt_tokens = u32::try_from(body / 3).unwrap_or(u32::MAX);
        Self(Usage { prompt_tokens, completion_tokens: max_tokens.unwrap_or(config.answer_tokens) })
    }

    /// For which tokens of either kind.
    pub(crate) fn usage(self) -> Usage {
        self.0
    }

    /// All of it.
    pub(super) fn total(self) -> u64 {
        total(self.0)
    }
}

fn total(usage: Usage) -> u64 {
    u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens)
}

/// The right to one running turn; dropping it gives it back, at the end of the turn if that has begun.
pub(crate) struct Permit(Option<Charge>);

struct Charge {
    desk: Arc<Desk>,
    meter: Arc<Meter>,
    reserve: Reserve,
    since: Instant,
    turn: Option<Turn>,
    seen: u32,
}

struct Turn {
    job: JobId,
    ending: Ending,
}

/// The turn's last event; `None`: it will never be known here.
type Ending = Pin<Box<dyn Future<Output = Option<TurnEvent>> + Send>>;

impl Permit {
    /// Of a slot that `meter` has granted.
    pub(super) fn new(desk: Arc<Desk>, meter: Arc<Meter>) -> Self {
        Self(Some(Charge { desk, meter, reserve: Reserve::default(), since: Instant::now(), turn: None, seen: 0 }))
    }

    /// Sets `reserve` aside, too; else the slot is free again.
    pub(super) async fn reserving(mut self, reserve: Reserve) -> Result<Self, Refused> {
        if let Some(charge) = &mut self.0 {
            charge.meter.reserve(&charge.desk.store, reserve).await?;
            charge.reserve = reserve;
        }
        Ok(self)
    }

    /// Of one who reads what somebody else pays for.
    pub(super) fn free() -> Self {
        Self(None)
    }

    /// From now on `turn` is what it pays for, unless somebody else has paid.
    ///
    /// `name`: the message that the turn answers, if it has one.
    pub(crate) fn runs(&mut self, turn: &TurnStream, name: Option<&Name>) {
        let Some(mut charge) = self.0.take() else { return };
        let (job, mut ending) = (turn.job().clone(), Box::pin(turn.ending()));
        let known = ending.as_mut().now_or_never();
        if matches!(known, Some(Some(_))) || !charge.meter.begin(&job, name) {
            return charge.refund();
        }
        let ending: Ending = if known.is_some() { Box::pin(std::future::ready(None)) } else { ending };
        charge.turn = Some(Turn { job, ending });
        self.0 = Some(charge);
    }

    /// Settles what was used where no turn ran: another server answered.
    pub(crate) fn used(&mut self, usage: Usage) {
        if let Some(charge) = self.0.take() {
            charge.meter.count(usage);
            charge.close(usage);
        }
    }

    /// An event of the turn; the last one settles.
    pub(crate) fn see(&mut self, event: &TurnEvent) {
        let Some(charge) = &mut self.0 else { return };
        match event {
            TurnEvent::Retrieved { .. } => return,
            TurnEvent::Token { text, .. } => charge.seen = charge.seen.saturating_add(estimate(text)),
            TurnEvent::Aside { reasoning, calls } => {
                let said =
                    calls.iter().map(|call| estimate(&call.arguments)).fold(estimate(reasoning), u32::saturating_add);
                charge.seen = charge.seen.saturating_add(said);
            }
            TurnEvent::Finished { .. } | TurnEvent::Failed(_) => {}
        }
        if event.is_last()
            && let Some(charge) = self.0.take()
        {
            charge.settle(Some(event), false);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(mut charge) = self.0.take() else { return };
        let Some(turn) = &mut charge.turn else { return charge.refund() };
        let ending = std::mem::replace(&mut turn.ending, Box::pin(std::future::pending()));
        let desk = charge.desk.clone();
        desk.clone().handle.spawn(async move {
            let end = timeout(desk.longest, ending).await.ok().flatten();
            charge.settle(end.as_ref(), true);
        });
    }
}

impl Charge {
    /// Nothing was done for it.
    fn refund(self) {
        self.close(Usage::default());
    }

    /// `end`: the turn's last event, as far as it is known; `left`: its reader did not wait for it.
    fn settle(self, end: Option<&TurnEvent>, left: bool) {
        let used = match end {
            Some(TurnEvent::Finished { usage, .. }) => *usage,
            Some(TurnEvent::Failed(_)) if self.seen == 0 && !left => Usage::default(),
            Some(TurnEvent::Failed(_)) => Usage { completion_tokens: self.seen, ..self.reserve.0 },
            _ => self.reserve.0,
        };
        self.meter.count(used);
        self.close(used);
    }

    fn close(self, used: Usage) {
        let Self { desk, meter, reserve, since, turn, .. } = self;
        if let Some(turn) = turn {
            meter.end(&turn.job);
        }
        let back = i64::try_from(reserve.total()).unwrap_or(i64::MAX) - i64::try_from(total(used)).unwrap_or(i64::MAX);
        meter.settle(&desk.store, back);
        let others_wait = meter.turns.free(&desk.store, since.elapsed());
        desk.keeper.note(&meter);
        if others_wait && desk.store.is_remote() {
            desk.keeper.hurry();
        }
    }
}
