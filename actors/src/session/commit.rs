//! Storing a turn's exchange.

use super::{Kept, Session, store_failure};
use crate::{
    env::Env,
    state,
    store::{SessionKey, StoreError, Stored, Version},
    turn::{Answer, Input},
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use protocol::{ErrorCode, Failure, JobId, Timestamp, TurnEvent};
use std::time::Duration;

/// Before a store that did not answer is asked again.
const PAUSE: Duration = Duration::from_millis(200);

impl Session {
    /// Stores the exchange; a stateless call has nothing to store.
    pub(super) fn commit(&mut self, answer: Answer, now: Timestamp, ctx: &mut Context<Self>) -> Option<Input> {
        let (running, kept) = (self.running.as_ref()?, self.kept.as_ref()?);
        let (Some(expected), Some((question, reply))) = (kept.version, running.exchange(answer, now)) else {
            return Some(Input::Committed);
        };
        let (mut view, config) = (kept.view.clone(), &self.env.config);
        view.lang = Some(running.lang.clone());
        view.append(question, reply, config.history_messages, config.history_bytes);
        let served = running.served.clone().or_else(|| kept.served.clone());
        let state = match state::encode(&view, served.as_ref()) {
            Ok(state) => state,
            Err(error) => return Some(Input::CommitFailed(Failure::new(ErrorCode::Internal, error.to_string()))),
        };
        let (env, key, turn) = (self.env.clone(), self.key().clone(), running.log.job().clone());
        let (deadline, next) = (running.deadline, Stored { version: expected.next(), state });
        let written = Kept { view, served, version: Some(next.version) };
        let save = async move { save(&env, &key, expected, next, deadline).await };
        ctx.spawn(save.into_actor(self).map(move |saved, session, ctx| match saved {
            Ok(()) => {
                session.kept = Some(written);
                session.feed(&turn, Input::Committed, ctx);
            }
            Err(error) => session.overtaken(&turn, store_failure(&error), ctx),
        }));
        None
    }

    /// What is stored may differ from what is held here: the actor ends its turns and leaves, the next one reads anew.
    fn overtaken(&mut self, turn: &JobId, failure: Failure, ctx: &mut Context<Self>) {
        self.leaving = true;
        for pending in self.pending.drain(..) {
            pending.log.emit(TurnEvent::Failed(failure.clone()));
        }
        self.feed(turn, Input::CommitFailed(failure), ctx);
    }
}

/// Writes `next`, again and again until the deadline while the store does not answer. A write that was done although its
/// answer was lost is found in the store.
async fn save(
    env: &Env,
    key: &SessionKey,
    expected: Version,
    next: Stored,
    deadline: Timestamp,
) -> Result<(), StoreError> {
    let mut is_in_doubt = false;
    loop {
        let saved = match env.store.save(key, expected, next.clone()).await {
            Err(StoreError::Conflict) if is_in_doubt => is_stored(env, key, &next).await,
            saved => saved,
        };
        match saved {
            Err(StoreError::Unavailable(error)) if env.now() < deadline => {
                tracing::warn!(session = %key.session, tenant = %key.tenant, error, "an answer is not stored yet");
                is_in_doubt = true;
                tokio::time::sleep(PAUSE).await;
            }
            saved => return saved,
        }
    }
}

async fn is_stored(env: &Env, key: &SessionKey, next: &Stored) -> Result<(), StoreError> {
    let stored = env.store.load(key).await?;
    if stored.as_ref() == Some(next) { Ok(()) } else { Err(StoreError::Conflict) }
}
