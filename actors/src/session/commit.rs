//! Storing a turn's exchange.

use super::{Hold, Kept, Session, store_failure};
use crate::{
    env::Env,
    state,
    store::{SessionKey, StoreError, Version},
    turn::{Answer, Input},
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use bytes::Bytes;
use protocol::{ErrorCode, Failure, JobId, Timestamp};
use std::time::Duration;

/// Before a store that did not answer is asked again.
const PAUSE: Duration = Duration::from_millis(200);

impl Session {
    /// The exchange is to be stored; a stateless call has nothing to store.
    pub(super) fn commit(&mut self, answer: Answer, ctx: &mut Context<Self>) -> Option<Input> {
        let is_kept = self.hold().is_some();
        let running = self.running.as_mut()?;
        if !is_kept {
            return Some(Input::Committed);
        }
        if running.journal.is_asking() {
            running.journal.then = Some(answer);
        } else {
            self.store_answer(answer, ctx);
        }
        None
    }

    pub(super) fn store_answer(&mut self, answer: Answer, ctx: &mut Context<Self>) {
        let Some(turn) = self.running.as_ref().map(|running| running.log.job().clone()) else { return };
        let Some((written, state)) = self.written(answer) else {
            let failure = Failure::new(ErrorCode::Internal, "the answer cannot be stored");
            return self.feed(&turn, Input::CommitFailed(failure), ctx);
        };
        let (Some(hold), Some(running)) = (self.hold().cloned(), &self.running) else { return };
        let (env, key, of, until) = (self.env.clone(), self.key().clone(), turn.clone(), running.deadline);
        let save = async move { save(&env, &key, &hold, state, &of, until).await };
        ctx.spawn(save.into_actor(self).map(move |saved, session, ctx| match saved {
            Ok(()) => {
                session.kept = Some(written);
                session.running.iter_mut().for_each(|running| running.is_stored = true);
                session.feed(&turn, Input::Committed, ctx);
            }
            Err(StoreError::Conflict) => session.overtaken_in(&turn, ctx),
            Err(error) => session.feed(&turn, Input::CommitFailed(store_failure(&error)), ctx),
        }));
    }

    /// What the session is once the answer is stored, and its bytes.
    fn written(&self, answer: Answer) -> Option<(Kept, Bytes)> {
        let (running, kept) = (self.running.as_ref()?, self.kept.as_ref()?);
        let (question, reply) = running.exchange(answer, self.env.now())?;
        let (mut view, config) = (kept.view.clone(), &self.env.config);
        view.lang = Some(running.lang.clone());
        view.append(question, reply, config.history_messages, config.history_bytes);
        let served = running.served.clone().or_else(|| kept.served.clone());
        let state = state::encode(&view, served.as_ref()).ok()?;
        let hold = kept.hold.clone().map(|hold| Hold { write: hold.write + 1, ..hold });
        Some((Kept { view, served, hold }, state))
    }

    /// Somebody else owns the session: the message is theirs to answer.
    pub(super) fn overtaken_in(&mut self, turn: &JobId, ctx: &mut Context<Self>) {
        if let Some(running) = self.running.as_ref().filter(|running| running.log.job() == turn) {
            running.log.moved();
        }
        self.is_overtaken = true;
        self.feed(turn, Input::CommitFailed(store_failure(&StoreError::Conflict)), ctx);
        self.overtaken(ctx);
    }
}

/// Asks a store that does not answer again and again until `until`.
pub(super) async fn again<F>(env: &Env, until: Timestamp, ask: impl Fn() -> F) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    loop {
        match ask().await {
            Err(StoreError::Unavailable(error)) if env.now() < until => {
                tracing::warn!(error, "the session store is asked again");
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Saves; a write that was done although its answer was lost is found in the store.
async fn save(
    env: &Env,
    key: &SessionKey,
    hold: &Hold,
    state: Bytes,
    turn: &JobId,
    until: Timestamp,
) -> Result<(), StoreError> {
    let first = env.store.save(key, &hold.fence, hold.write, state.clone(), turn).await;
    let Err(StoreError::Unavailable(_)) = first else { return first };
    tokio::time::sleep(PAUSE).await;
    let save = || async {
        match env.store.save(key, &hold.fence, hold.write, state.clone(), turn).await {
            Err(StoreError::Conflict) => is_stored(env, key, hold, &state).await,
            saved => saved,
        }
    };
    again(env, until, save).await
}

async fn is_stored(env: &Env, key: &SessionKey, hold: &Hold, state: &Bytes) -> Result<(), StoreError> {
    let written = Version { epoch: hold.fence.epoch, write: hold.write + 1 };
    let stored = env.store.load(key).await?;
    let is_ours = stored.is_some_and(|stored| stored.version.write == written.write && stored.state == *state);
    if is_ours { Ok(()) } else { Err(StoreError::Conflict) }
}
