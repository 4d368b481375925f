//! Where answers are kept: one trait, two backends, one suite (`tests/cache_contract.rs`).

use super::{
    entry::{Entry, Listed},
    memory::MemoryAnswers,
    redis::RedisAnswers,
    scope::Key,
};
use async_trait::async_trait;
use protocol::TenantId;
use runtime::Clock;
use std::{fmt, sync::Arc, time::Duration};

/// Why the cache did not do it. Whoever asked goes on without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer cache is unavailable: {0}")]
pub struct CacheError(pub String);

/// How far a tenant's list has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub(super) String);

/// Bounds of a cache.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// An answer is forgotten after this time.
    pub ttl: Duration,
    /// Answers per tenant; the oldest go first. Each has at most 32 KiB.
    pub entries: usize,
}

/// Keeps answers and says whose turn it is to find one.
#[async_trait]
pub trait AnswerStore: fmt::Debug + Send + Sync + 'static {
    /// The answer to this very question.
    async fn find(&self, key: &Key) -> Result<Option<Entry>, CacheError>;

    /// Keeps an answer, in the place of an earlier one to the same question, and lists it.
    async fn keep(&self, key: &Key, entry: &Entry, listed: &Listed) -> Result<(), CacheError>;

    /// What was listed of the tenant after `after`, oldest first, at most `most` of it. An answer of the list may be gone.
    async fn tail(
        &self,
        tenant: &TenantId,
        after: Option<&Place>,
        most: usize,
    ) -> Result<Vec<(Place, Listed)>, CacheError>;

    /// `by` wants to be the only one to ask for an answer, for `ttl` from now on; who leads already goes on. False: another
    /// one leads.
    async fn lead(&self, key: &Key, by: &str, ttl: Duration) -> Result<bool, CacheError>;

    /// `by` does not lead any more, if it did.
    async fn follow(&self, key: &Key, by: &str) -> Result<(), CacheError>;
}

/// Connects to `url`: `memory:` or `redis://…`; a server must answer within `patience`.
pub async fn connect(
    url: &str,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Arc<dyn AnswerStore>, CacheError> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("redis" | "rediss") => Ok(Arc::new(RedisAnswers::connect(url, bounds, patience).await?)),
        _ => Ok(Arc::new(MemoryAnswers::new(bounds, clock))),
    }
}
