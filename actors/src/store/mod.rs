//! Where sessions are kept while no actor holds them.
//!
//! Every write is a compare-and-set on the session's [`Version`], so a writer that another has overtaken learns of it. Both
//! backends carry the same bytes and pass the same suite (`tests/store_contract.rs`).

mod memory;
mod redis;

use crate::Config;
use async_trait::async_trait;
use bytes::Bytes;
use protocol::{SessionId, TenantId};
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
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd:{}:session:{}", self.tenant, self.session)
    }
}

/// How often a session was written, and under which ownership; 0 and 0: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// The owner's fencing epoch.
    pub epoch: u64,
    /// Counts writes.
    pub write: u64,
}

impl Version {
    /// The next write of the same owner.
    pub fn next(self) -> Self {
        Self { write: self.write + 1, ..self }
    }
}

/// A session as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What the next writer must expect.
    pub version: Version,
    /// The serialized session.
    pub state: Bytes,
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
pub trait SessionStore: Send + Sync + 'static {
    /// The session, if there is one.
    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError>;

    /// Writes `next` if the stored version is `expected` (the default one: no such session).
    async fn save(&self, key: &SessionKey, expected: Version, next: Stored) -> Result<(), StoreError>;

    /// Forgets the session; tells whether there was one.
    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError>;

    /// Whether the store answers now.
    async fn check(&self) -> Result<(), StoreError>;
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
