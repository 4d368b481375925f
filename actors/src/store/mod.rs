//! Where sessions are kept, and who owns them.
//!
//! A node owns sessions for as long as it renews its lease as a [`Member`]; then they may be claimed by others. Every write is
//! a compare-and-set on the fencing epoch that a claim raises, and a save also on the count of saves (see [`record`]). Both
//! backends follow the same rules, carry the same bytes and pass the same suite (`tests/store_contract.rs`).

mod member;
mod memory;
pub mod record;
mod redis;

pub use member::Member;
pub use record::{Claim, Record, Shown, Version};

use crate::Config;
use async_trait::async_trait;
use bytes::Bytes;
use protocol::{JobId, SessionId, TenantId};
use runtime::Clock;
use std::{fmt, sync::Arc, time::Duration};

/// The one way to name a session in a store; always within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose session.
    pub tenant: TenantId,
    /// Which one.
    pub session: SessionId,
}

impl SessionKey {
    /// The key of `tenant`'s `session`.
    pub fn new(tenant: &TenantId, session: &SessionId) -> Self {
        Self { tenant: tenant.clone(), session: session.clone() }
    }

    /// What [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, session) = text.split_once('/')?;
        Some(Self { tenant: TenantId::parse(tenant).ok()?, session: SessionId::parse(session).ok()? })
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.session)
    }
}

/// A session's state and the count of its writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Under which version it was written.
    pub version: Version,
    /// The serialized session.
    pub state: Bytes,
    /// Messages that are accepted and not answered, in no order.
    pub open: Vec<Bytes>,
}

/// A member's right to write to one session, as a claim gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The owner.
    pub by: Member,
    /// Its epoch.
    pub epoch: u64,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another writer was first.
    #[error("another writer changed the session first")]
    Conflict,
    /// The store holds its maximum.
    #[error("the session store is full")]
    Full,
    /// The store does not answer; what was asked may have happened.
    #[error("the session store is unavailable: {0}")]
    Unavailable(String),
}

/// A store of sessions. What is saved is dropped after the retention time without another save.
#[async_trait]
pub trait SessionStore: Members {
    /// Keeps a new session; [`StoreError::Conflict`] if there is one.
    async fn create(&self, key: &SessionKey, state: Bytes) -> Result<(), StoreError>;
    /// The session as it was last saved, whoever owns it.
    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError>;
    /// See [`Record::claim`]; `None`: there is no such session.
    async fn claim(
        &self,
        key: &SessionKey,
        by: &Member,
        instead_of: Option<&Member>,
    ) -> Result<Option<Claim>, StoreError>;
    /// See [`Record::accept`].
    async fn accept(&self, key: &SessionKey, fence: &Fence, turn: &JobId, message: Bytes) -> Result<(), StoreError>;
    /// See [`Record::show`].
    async fn show(
        &self,
        key: &SessionKey,
        fence: &Fence,
        turn: &JobId,
        from: usize,
        events: &[Bytes],
    ) -> Result<(), StoreError>;
    /// See [`Record::save`]; the fence's epoch and `write` are what is expected.
    async fn save(
        &self,
        key: &SessionKey,
        fence: &Fence,
        write: u64,
        state: Bytes,
        turn: &JobId,
    ) -> Result<(), StoreError>;
    /// See [`Record::close`].
    async fn close(&self, key: &SessionKey, fence: &Fence, turn: &JobId) -> Result<(), StoreError>;
    /// See [`Record::release`].
    async fn release(&self, key: &SessionKey, fence: &Fence) -> Result<(), StoreError>;
    /// Forgets the session; tells whether there was one.
    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError>;
    /// Whether the store answers now.
    async fn check(&self) -> Result<(), StoreError>;
}

/// The members that live, and the open messages of those that do not.
#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// `member` lives for `lease` from now on. [`StoreError::Conflict`] if it lived before.
    async fn join(&self, member: &Member, lease: Duration) -> Result<(), StoreError>;
    /// It lives for `lease` from now on; `false`: its lease had expired.
    async fn renew(&self, member: &Member, lease: Duration) -> Result<bool, StoreError>;
    /// Its lease ends now.
    async fn leave(&self, member: &Member) -> Result<(), StoreError>;
    /// Whether its lease runs.
    async fn is_alive(&self, member: &Member) -> Result<bool, StoreError>;
    /// At most `most` sessions with open messages that dead members owned.
    async fn orphans(&self, most: usize) -> Result<Vec<(Member, SessionKey)>, StoreError>;
    /// Some of the sessions with open messages that `of` owns, and where to go on; a look begins at 0 and is over at 0.
    async fn held(&self, of: &Member, from: u64) -> Result<(Vec<SessionKey>, u64), StoreError>;
    /// The session that `of` owned is cared for; `by` another member, which may have died before it noted its open messages.
    async fn adopted(&self, of: &Member, by: Option<&Member>, key: &SessionKey) -> Result<(), StoreError>;
}

/// Connects to the store that `session.store` names; a server must answer within `patience`.
pub async fn connect(
    config: &Config,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Arc<dyn SessionStore>, StoreError> {
    let retention = Duration::from_millis(config.retention_ms);
    match config.store.split_once(':').map(|(scheme, _)| scheme) {
        Some("redis" | "rediss") => Ok(Arc::new(redis::RedisStore::connect(&config.store, retention, patience).await?)),
        _ => Ok(Arc::new(memory::MemoryStore::new(retention, config.max_stored, clock))),
    }
}
