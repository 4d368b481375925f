//! The running turn's looks into the answer cache, and what it gives to it.

use super::Session;
use crate::{
    cache::{Draft, Entry, Found, Question, Recalled},
    turn::{Answer, Given, Input},
};
use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use protocol::{JobId, Origin};

/// What a turn has to do with the cache.
#[derive(Default)]
pub(super) struct Memory {
    /// What it asks, if the cache may answer it.
    question: Option<Question>,
    looking: Option<SpawnHandle>,
    /// The cache awaits its answer. Dropping it lets the next one find it.
    draft: Option<Box<Draft>>,
}

impl Memory {
    pub fn of(question: Option<Question>) -> Self {
        Self { question, ..Self::default() }
    }

    /// The look that is under way.
    pub fn looking(&self) -> Option<SpawnHandle> {
        self.looking
    }

    /// A model has begun to answer.
    pub fn began(&mut self, model: &str) {
        self.draft.iter_mut().for_each(|draft| draft.began(model));
    }

    /// The answer is whole.
    pub fn answered(&mut self, answer: &Answer) {
        self.draft.take().into_iter().for_each(|draft| draft.answered(answer));
    }

    /// There is none; where nobody read the turn, that says nothing to those who wait.
    pub fn failed(&mut self, was_read: bool) {
        self.draft.take().filter(|_| was_read).into_iter().for_each(|draft| draft.failed());
    }
}

impl Session {
    /// Looks into the cache; what comes of it is fed to the turn.
    pub(super) fn recall(&mut self, found: Option<Found>, ctx: &mut Context<Self>) -> Option<Input> {
        let running = self.running.as_ref()?;
        let (Some(cache), Some(question)) = (&self.env.cache, &running.memory.question) else {
            return Some(Input::Recalled(None));
        };
        let (cache, question, turn) = (cache.clone(), question.clone(), running.log.job().clone());
        let look = async move {
            match found {
                None => cache.exact(&question).await.map_or(Recalled::Nothing, Recalled::Answer),
                Some(found) => cache.join(&question, &found).await,
            }
        };
        let look = look.into_actor(self);
        let handle = ctx.spawn(look.map(move |recalled, session, ctx| session.recalled(&turn, recalled, ctx)));
        self.running.iter_mut().for_each(|running| running.memory.looking = Some(handle));
        None
    }

    fn recalled(&mut self, turn: &JobId, recalled: Recalled, ctx: &mut Context<Self>) {
        let Some(running) = self.running.as_mut().filter(|running| running.log.job() == turn) else { return };
        running.memory.looking = None;
        let given = match recalled {
            Recalled::Answer(entry) => Some(given(&entry)),
            Recalled::Draft(draft) => {
                running.memory.draft = Some(draft);
                None
            }
            Recalled::Nothing => None,
        };
        self.feed(turn, Input::Recalled(given), ctx);
    }
}

fn given(entry: &Entry) -> Given {
    let (text, citations) = (entry.answer.clone(), entry.citations.clone());
    Given { text, citations, origin: Origin::Cache, degraded: false }
}
