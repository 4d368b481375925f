//! Answers in Redis.
//!
//! A tenant's keys lie on one node of a cluster: `fd:answers:{<tenant>}:<scope>:<question>` is a hash of `e` (entry) and `p` (place
//! in the list), `…:lead` who asks for it, and `fd:answers:{<tenant>}` a stream that lists the tenant's answers, so that
//! nodes read only what is new, and bounds them.

use super::{
    entry::{Entry, Listed},
    scope::Key,
    store::{AnswerStore, Bounds, CacheError, Place},
};
use async_trait::async_trait;
use protocol::TenantId;
use redis::{RedisError, Script, aio::ConnectionManager};
use std::{collections::HashMap, fmt, time::Duration};

/// Shares answers among nodes.
pub(super) struct RedisAnswers {
    connection: ConnectionManager,
    bounds: Bounds,
    keep: Script,
    lead: Script,
    follow: Script,
}

impl RedisAnswers {
    pub async fn connect(url: &str, bounds: Bounds, patience: Duration) -> Result<Self, CacheError> {
        let connection = runtime::redis::connect(url, patience).await?;
        let keep = Script::new(include_str!("keep.lua"));
        let (lead, follow) = (Script::new(include_str!("lead.lua")), Script::new(include_str!("follow.lua")));
        Ok(Self { connection, bounds, keep, lead, follow })
    }

    fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }
}

impl fmt::Debug for RedisAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAnswers").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl From<RedisError> for CacheError {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

fn list(tenant: &TenantId) -> String {
    format!("fd:answers:{{{tenant}}}")
}

fn name(key: &Key) -> String {
    format!("{}:{}:{}", list(&key.scope.tenant), key.scope.name(), key.question)
}

fn leader(key: &Key) -> String {
    format!("{}:lead", name(key))
}

fn unreadable(error: serde_json::Error) -> CacheError {
    CacheError(format!("an entry in Redis cannot be read by this version: {error}"))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl AnswerStore for RedisAnswers {
    async fn find(&self, key: &Key) -> Result<Option<Entry>, CacheError> {
        let read = redis::cmd("HGET").arg(name(key)).arg("e").to_owned();
        let entry: Option<Vec<u8>> = read.query_async(&mut self.connection()).await?;
        entry.map(|bytes| serde_json::from_slice(&bytes).map_err(unreadable)).transpose()
    }

    async fn keep(&self, key: &Key, entry: &Entry, listed: &Listed) -> Result<(), CacheError> {
        let entry = serde_json::to_vec(entry).map_err(unreadable)?;
        let listed = serde_json::to_vec(listed).map_err(unreadable)?;
        let mut call = self.keep.key(name(key));
        call.key(list(&key.scope.tenant)).arg(entry).arg(listed).arg(millis(self.bounds.ttl)).arg(self.bounds.entries);
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    async fn tail(
        &self,
        tenant: &TenantId,
        after: Option<&Place>,
        most: usize,
    ) -> Result<Vec<(Place, Listed)>, CacheError> {
        let from = after.map_or_else(|| "-".to_string(), |place| format!("({}", place.0));
        let read = redis::cmd("XRANGE").arg(list(tenant)).arg(from).arg("+").arg("COUNT").arg(most).to_owned();
        let items: Vec<(String, HashMap<String, Vec<u8>>)> = read.query_async(&mut self.connection()).await?;
        let listed = |(place, fields): (String, HashMap<String, Vec<u8>>)| {
            let listed = fields.get("l").map(Vec::as_slice).unwrap_or_default();
            Ok((Place(place), serde_json::from_slice(listed).map_err(unreadable)?))
        };
        items.into_iter().map(listed).collect()
    }

    async fn lead(&self, key: &Key, by: &str, ttl: Duration) -> Result<bool, CacheError> {
        let mut call = self.lead.key(leader(key));
        call.arg(by).arg(millis(ttl));
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    async fn follow(&self, key: &Key, by: &str) -> Result<(), CacheError> {
        let mut call = self.follow.key(leader(key));
        call.arg(by);
        Ok(call.invoke_async(&mut self.connection()).await?)
    }
}
