//! The sessions of this node.

use crate::{
    Completion, Config, SessionView, TurnStream,
    ask::Ask,
    env::Env,
    session::{Answered, Begin, Delete, Kept, Leave, Refusal, Session, Stop, View, store_failure},
    shard::Shard,
    state,
    store::{SessionKey, Stored, Version},
    threads::Threads,
};
use actix::{Addr, Handler, MailboxError, Message, dev::ToEnvelope};
use protocol::{ErrorCode, Event, Failure, JobId, KnowledgeJob, SessionId, Submit, TenantId};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::task::AbortHandle;
use tracing::Span;

/// An actor must take and answer a request within this time; its store may take 5 s of it.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a request that met a leaving actor is tried again, how often a full node looks for an idle one, and the pause.
const TRIES: usize = 20;
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// The sessions of this node; cheap to clone. Dropping the last clone stops the actors.
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub env: Arc<Env>,
    pub shards: Vec<Arc<Shard>>,
    pub threads: Threads,
    /// Hands out replies; watches the store.
    pub background: [AbortHandle; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.background.iter().for_each(AbortHandle::abort);
    }
}

impl Registry {
    /// How sessions and their turns are run.
    pub fn config(&self) -> &Config {
        &self.0.env.config
    }

    /// A new session.
    pub async fn create(&self, tenant: &TenantId) -> Result<SessionView, Failure> {
        let env = &self.0.env;
        self.accepts()?;
        let view = SessionView::new(SessionId::from_uuid(env.context.random.uuid()), env.now());
        let internal = |error: serde_json::Error| Failure::new(ErrorCode::Internal, error.to_string());
        let stored =
            Stored { version: Version::default().next(), state: state::encode(&view, None).map_err(internal)? };
        let saved = env.store.save(&SessionKey::new(tenant, &view.id), Version::default(), stored).await;
        saved.map(|()| view).map_err(|error| store_failure(&error))
    }

    /// A session's history. [`ErrorCode::SessionNotFound`] if the tenant has no such session.
    pub async fn view(&self, tenant: &TenantId, session: &SessionId) -> Result<SessionView, Failure> {
        self.ask(&SessionKey::new(tenant, session), View).await
    }

    /// Forgets a session; its running turn is cancelled.
    pub async fn delete(&self, tenant: &TenantId, session: &SessionId) -> Result<(), Failure> {
        self.ask(&SessionKey::new(tenant, session), Delete).await
    }

    /// Takes a customer's message. Idempotent on its `client_message_id`: a repeat gets the running stream from its start, or
    /// the stored answer. [`ErrorCode::Overloaded`] when too many messages wait or the node is full.
    pub async fn submit(&self, tenant: &TenantId, session: &SessionId, submit: Submit) -> Result<TurnStream, Failure> {
        let ask = Ask::Message(submit);
        ask.check(&self.0.env.config)?;
        self.ask(&SessionKey::new(tenant, session), Begin { ask, parent: Span::current() }).await
    }

    /// Stops the session's turn `job` (`None`: the one that runs). What was shown is kept; one that waits ends without a word.
    /// Nothing happens when that turn has ended.
    pub async fn stop(&self, tenant: &TenantId, session: &SessionId, job: Option<&JobId>) -> Result<(), Failure> {
        self.ask(&SessionKey::new(tenant, session), Stop(job.cloned())).await
    }

    /// Answers once, by a session actor that lives for this turn. Dropping the stream cancels the turn.
    pub async fn complete(&self, tenant: &TenantId, request: Completion) -> Result<TurnStream, Failure> {
        let env = &self.0.env;
        self.accepts()?;
        let ask = Ask::Completion(Box::new(request));
        ask.check(&env.config)?;
        let view = SessionView::new(SessionId::from_uuid(env.context.random.uuid()), env.now());
        let key = SessionKey::new(tenant, &view.id);
        let actor = self.actor(&key, || Some(Kept { view: view.clone(), served: None, version: None })).await?;
        match actor.send(Begin { ask, parent: Span::current() }).timeout(PATIENCE).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(Refusal::Failed(failure))) => Err(failure),
            Err(MailboxError::Timeout) => Err(silent()),
            Ok(Err(Refusal::Gone)) | Err(MailboxError::Closed) => Err(overloaded()),
        }
    }

    /// Changes or lists the tenant's documents; answers `Ingested`, `Deleted` or `Documents`.
    pub async fn knowledge(&self, tenant: &TenantId, job: KnowledgeJob) -> Result<Event, Failure> {
        self.accepts()?;
        crate::knowledge::ask(&self.0.env, tenant, job).await
    }

    /// Refuses new turns, awaits running ones for up to `grace`, then lets all sessions leave memory and stops the actors.
    /// Turns that still run fail with [`ErrorCode::Unavailable`].
    pub async fn drain(&self, grace: Duration) {
        let Inner { env, shards, threads, background } = &*self.0;
        env.load.drain();
        let ended = env.load.turns_ended(grace).await;
        for actor in shards.iter().flat_map(|shard| shard.all()) {
            let leave = Leave(Some(shutting_down()));
            if let Ok(Err(_)) | Err(_) = tokio::time::timeout(PATIENCE, actor.send(leave)).await {
                tracing::debug!("a session's actor had left already");
            }
        }
        let left = env.load.sessions_left(PATIENCE).await;
        tracing::info!(ended, left, unknown_replies = env.routes.unknown(), "sessions are drained");
        background.iter().for_each(AbortHandle::abort);
        threads.stop();
    }

    fn accepts(&self) -> Result<(), Failure> {
        if self.0.env.load.is_draining() { Err(shutting_down()) } else { Ok(()) }
    }

    /// Asks the session's actor; one that is just leaving is replaced, so that no message is lost.
    async fn ask<M, T>(&self, key: &SessionKey, message: M) -> Result<T, Failure>
    where
        M: Message<Result = Answered<T>> + Clone + Send + 'static,
        T: Send + 'static,
        Session: Handler<M>,
        actix::Context<Session>: ToEnvelope<Session, M>,
    {
        for _ in 0..TRIES {
            let actor = self.actor(key, || None).await?;
            match actor.send(message.clone()).timeout(PATIENCE).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Refusal::Failed(failure))) => return Err(failure),
                Err(MailboxError::Timeout) => return Err(silent()),
                Ok(Err(Refusal::Gone)) | Err(MailboxError::Closed) => tokio::time::sleep(PAUSE).await,
            }
        }
        Err(overloaded())
    }

    /// The session's actor, started if needed; on a full node idle sessions leave first.
    async fn actor(&self, key: &SessionKey, kept: impl Fn() -> Option<Kept>) -> Result<Addr<Session>, Failure> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let home = hasher.finish() as usize % self.0.shards.len();
        for _ in 0..TRIES {
            if let Some(actor) = self.0.shards[home].actor(&self.0.env, key, kept()) {
                return Ok(actor);
            }
            self.accepts()?;
            self.make_room(home).await?;
        }
        Err(overloaded())
    }

    /// Lets an idle session leave; one that has just ended its turn may need a moment to be seen as idle.
    async fn make_room(&self, home: usize) -> Result<(), Failure> {
        let shards = &self.0.shards;
        for _ in 0..LOOKS {
            let idle = (0..shards.len()).find_map(|n| shards[(home + n) % shards.len()].idlest());
            let left = match idle {
                Some(actor) => actor.send(Leave(None)).timeout(PATIENCE).await.unwrap_or(true),
                None => false,
            };
            if !left || self.0.env.load.is_full() {
                tokio::time::sleep(PAUSE).await;
            }
            if left {
                return Ok(());
            }
        }
        Err(overloaded())
    }
}

fn overloaded() -> Failure {
    Failure::new(ErrorCode::Overloaded, "this node holds as many sessions as it can; try again shortly")
}

fn silent() -> Failure {
    Failure::new(ErrorCode::Unavailable, "the session does not answer; try again shortly")
}

fn shutting_down() -> Failure {
    Failure::new(ErrorCode::Unavailable, "this node is shutting down; send the message again")
}
