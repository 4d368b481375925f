//! The sessions of this node.

use crate::{
    Completion, Config, SessionView, TurnStream,
    ask::Ask,
    env::Env,
    peer::Peers,
    session::{
        Adopt, Answered, Begin, Delete, Follow, Kept, Leave, Refusal, Session, Stop, not_found, shutting_down,
        store_failure,
    },
    shard::Shard,
    state,
    store::{Member, SessionKey},
    threads::Threads,
};
use actix::{Addr, Handler, MailboxError, Message, dev::ToEnvelope};
use futures_util::future::BoxFuture;
use protocol::{ErrorCode, Event, Failure, JobId, KnowledgeJob, PeerAsk, SessionId, Submit, TenantId};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
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
    /// The other nodes.
    pub peers: Peers,
    /// Hand out replies, watch the store, speak with the other nodes, keep the lease.
    pub background: Mutex<Vec<AbortHandle>>,
}

impl Inner {
    pub fn stop(&self) {
        let background = self.background.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        background.iter().for_each(AbortHandle::abort);
    }
}

/// Asks the node that owns a session; `None`: it does not any more, or does not answer.
trait Forward<T>: Fn(Member) -> BoxFuture<'static, Result<Option<T>, Failure>> + Send + Sync {}
impl<T, F: Fn(Member) -> BoxFuture<'static, Result<Option<T>, Failure>> + Send + Sync> Forward<T> for F {}

/// Where a session's actor is.
pub(crate) enum Found<T> {
    /// On this node, and this is its answer.
    Here(T),
    /// On another one.
    Elsewhere(Member),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
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
        let state = state::encode(&view, None).map_err(internal)?;
        let saved = env.store.create(&SessionKey::new(tenant, &view.id), state).await;
        saved.map(|()| view).map_err(|error| store_failure(&error))
    }

    /// A session's history. [`ErrorCode::SessionNotFound`] if the tenant has no such session.
    pub async fn view(&self, tenant: &TenantId, session: &SessionId) -> Result<SessionView, Failure> {
        let loaded = self.0.env.store.load(&SessionKey::new(tenant, session)).await;
        let stored = loaded.map_err(|error| store_failure(&error))?.ok_or_else(not_found)?;
        let unreadable = |_| Failure::new(ErrorCode::Internal, "the stored session cannot be read by this version");
        state::view(&stored).map_err(unreadable)
    }

    /// Forgets a session; its running turn is cancelled.
    pub async fn delete(&self, tenant: &TenantId, session: &SessionId) -> Result<(), Failure> {
        let key = SessionKey::new(tenant, session);
        self.wherever(&key, Delete, self.ask_at(&key, PeerAsk::Delete)).await
    }

    /// Takes a customer's message. Idempotent on its `client_message_id`: a repeat gets the running stream from its start, or
    /// the stored answer. [`ErrorCode::Overloaded`] when too many messages wait or the node is full.
    pub async fn submit(&self, tenant: &TenantId, session: &SessionId, submit: Submit) -> Result<TurnStream, Failure> {
        let ask = Ask::Message(submit.clone());
        ask.check(&self.0.env.config)?;
        let key = SessionKey::new(tenant, session);
        let begin = Begin { ask, parent: Span::current() };
        self.wherever(&key, begin, self.turn_at(&key, PeerAsk::Submit(submit), 0)).await
    }

    /// Reads a turn's events from the number `from` on, wherever it waits, runs or has ended. [`ErrorCode::NotFound`] if the
    /// session has no such turn, or has forgotten it.
    pub async fn follow(
        &self,
        tenant: &TenantId,
        session: &SessionId,
        turn: &JobId,
        from: u64,
    ) -> Result<TurnStream, Failure> {
        let key = SessionKey::new(tenant, session);
        let ask = PeerAsk::Follow { turn: turn.clone(), from };
        let mut stream = self.wherever(&key, Follow(turn.clone()), self.turn_at(&key, ask, from)).await?;
        stream.skip_to(from);
        Ok(stream)
    }

    /// Stops the session's turn `job` (`None`: the one that runs). What was shown is kept; one that waits ends without a word.
    /// Nothing happens when that turn has ended.
    pub async fn stop(&self, tenant: &TenantId, session: &SessionId, job: Option<&JobId>) -> Result<(), Failure> {
        let key = SessionKey::new(tenant, session);
        self.wherever(&key, Stop(job.cloned()), self.ask_at(&key, PeerAsk::Stop { turn: job.cloned() })).await
    }

    /// Answers once, by a session actor that lives for this turn. Dropping the stream cancels the turn.
    pub async fn complete(&self, tenant: &TenantId, request: Completion) -> Result<TurnStream, Failure> {
        let env = &self.0.env;
        self.accepts()?;
        let ask = Ask::Completion(Box::new(request));
        ask.check(&env.config)?;
        let view = SessionView::new(SessionId::from_uuid(env.context.random.uuid()), env.now());
        let key = SessionKey::new(tenant, &view.id);
        let actor = self.actor(&key, || Some(Kept { view: view.clone(), served: None, hold: None })).await?;
        match actor.send(Begin { ask, parent: Span::current() }).timeout(PATIENCE).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(Refusal::Failed(failure))) => Err(failure),
            Err(MailboxError::Timeout) => Err(silent()),
            Ok(Err(Refusal::Gone | Refusal::Elsewhere(_))) | Err(MailboxError::Closed) => Err(overloaded()),
        }
    }

    /// Changes or shows the tenant's knowledge; each job's docs name the event that answers it.
    pub async fn knowledge(&self, tenant: &TenantId, job: KnowledgeJob) -> Result<Event, Failure> {
        self.accepts()?;
        crate::knowledge::ask(&self.0.env, tenant, job).await
    }

    /// Begins to build the index of the tenant's knowledge anew.
    pub async fn rebuild(&self, tenant: &TenantId) -> Result<(), Failure> {
        self.accepts()?;
        crate::knowledge::begin(&self.0.env, tenant, KnowledgeJob::Rebuild).await
    }

    /// Refuses new turns and lets idle sessions leave, so that other nodes take them; awaits running turns for up to
    /// `grace`. Those that still run then go on at other nodes, and stateless calls fail with [`ErrorCode::Unavailable`]. At last
    /// the node gives its lease back and stops the actors.
    pub async fn drain(&self, grace: Duration) {
        let Inner { env, threads, .. } = &*self.0;
        env.load.drain();
        self.leave_all(Leave::IfIdle).await;
        let ended = env.load.turns_ended(grace).await;
        self.leave_all(Leave::Shutdown).await;
        let left = env.load.sessions_left(PATIENCE).await;
        env.lease.leave().await;
        tracing::info!(ended, left, unknown_replies = env.routes.unknown(), "sessions are drained");
        self.0.stop();
        threads.stop();
    }

    /// Tells every actor to leave.
    pub(crate) async fn leave_all(&self, why: Leave) {
        for actor in self.0.shards.iter().flat_map(|shard| shard.all()) {
            if let Ok(Err(_)) | Err(_) = tokio::time::timeout(PATIENCE, actor.send(why)).await {
                tracing::debug!("a session's actor had left already");
            }
        }
    }

    /// Answers the messages that a dead owner left open; or tells which other member is to.
    pub(crate) async fn adopt(&self, key: &SessionKey) -> Result<Found<()>, Failure> {
        self.here(key, Adopt).await
    }

    fn accepts(&self) -> Result<(), Failure> {
        if self.0.env.load.is_draining() { Err(shutting_down()) } else { Ok(()) }
    }

    /// Asks the session's actor, or by `forward` the node that owns the session; that may change meanwhile.
    async fn wherever<M, T>(&self, key: &SessionKey, message: M, forward: impl Forward<T>) -> Result<T, Failure>
    where
        M: Message<Result = Answered<T>> + Clone + Send + 'static,
        T: Send + 'static,
        Session: Handler<M>,
        actix::Context<Session>: ToEnvelope<Session, M>,
    {
        let env = &self.0.env;
        // So long it takes at most until the sessions of a node that died may be claimed.
        let until = env.now().after_ms(2 * env.config.lease_ms);
        loop {
            match self.here(key, message.clone()).await? {
                Found::Here(answer) => return Ok(answer),
                Found::Elsewhere(owner) => {
                    metrics::counter!(runtime::metric::FORWARDED).increment(1);
                    if let Some(answer) = forward(owner).await? {
                        return Ok(answer);
                    }
                }
            }
            if env.now() >= until {
                return Err(silent());
            }
            tokio::time::sleep(10 * PAUSE).await;
        }
    }

    fn ask_at(&self, key: &SessionKey, ask: PeerAsk) -> impl Forward<()> + use<> {
        let (registry, key) = (self.clone(), key.clone());
        move |owner| {
            let (registry, key, ask) = (registry.clone(), key.clone(), ask.clone());
            Box::pin(async move { registry.0.peers.ask(&owner, &key, ask).await })
        }
    }

    fn turn_at(&self, key: &SessionKey, ask: PeerAsk, from: u64) -> impl Forward<TurnStream> + use<> {
        let (registry, key) = (self.clone(), key.clone());
        move |owner| {
            let (registry, key, ask) = (registry.clone(), key.clone(), ask.clone());
            Box::pin(async move { registry.0.peers.turn(&registry, &owner, &key, ask, from).await })
        }
    }

    /// Asks the session's actor on this node; one that is just leaving is replaced, so that no message is lost.
    pub(crate) async fn here<M, T>(&self, key: &SessionKey, message: M) -> Result<Found<T>, Failure>
    where
        M: Message<Result = Answered<T>> + Clone + Send + 'static,
        T: Send + 'static,
        Session: Handler<M>,
        actix::Context<Session>: ToEnvelope<Session, M>,
    {
        for _ in 0..TRIES {
            let actor = self.actor(key, || None).await?;
            match actor.send(message.clone()).timeout(PATIENCE).await {
                Ok(Ok(answer)) => return Ok(Found::Here(answer)),
                Ok(Err(Refusal::Failed(failure))) => return Err(failure),
                Ok(Err(Refusal::Elsewhere(owner))) => return Ok(Found::Elsewhere(owner)),
                Err(MailboxError::Timeout) => return Err(silent()),
                Ok(Err(Refusal::Gone)) | Err(MailboxError::Closed) => tokio::time::sleep(PAUSE).await,
            }
        }
        Err(overloaded())
    }

    /// The session's actor, started if needed; on a full node idle sessions leave first.
    async fn actor(&self, key: &SessionKey, kept: impl Fn() -> Option<Kept>) -> Result<Addr<Session>, Failure> {
        let home = self.home(key);
        for _ in 0..TRIES {
            if let Some(actor) = self.0.shards[home].actor(&self.0.env, key, kept()) {
                return Ok(actor);
            }
            self.accepts()?;
            self.make_room(home).await?;
        }
        Err(overloaded())
    }

    /// Whether the session's actor is on this node.
    pub(crate) fn has(&self, key: &SessionKey) -> bool {
        self.0.shards[self.home(key)].has(key)
    }

    fn home(&self, key: &SessionKey) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish() as usize % self.0.shards.len()
    }

    /// Lets an idle session leave; one that has just ended its turn may need a moment to be seen as idle.
    async fn make_room(&self, home: usize) -> Result<(), Failure> {
        let shards = &self.0.shards;
        for _ in 0..LOOKS {
            let idle = (0..shards.len()).find_map(|n| shards[(home + n) % shards.len()].idlest());
            let left = match idle {
                Some(actor) => actor.send(Leave::IfIdle).timeout(PATIENCE).await.unwrap_or(true),
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
