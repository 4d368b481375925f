//! Sessions in Redis, one hash each: `e` (epoch), `w` (write), `s` (state).

use super::{SessionKey, SessionStore, StoreError, Stored, Version};
use async_trait::async_trait;
use bytes::Bytes;
use redis::{AsyncCommands, RedisError, Script, aio::ConnectionManager};
use std::time::Duration;

/// Writes ARGV 3 to 5 if the stored version is ARGV 1 and 2, and renews the time to live (ARGV 6, ms).
const COMPARE_AND_SET: &str = "
local stored = redis.call('HMGET', KEYS[1], 'e', 'w')
if (stored[1] or '0') ~= ARGV[1] or (stored[2] or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'e', ARGV[3], 'w', ARGV[4], 's', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 1";

pub(super) struct RedisStore {
    connection: ConnectionManager,
    save: Script,
    retention_ms: u64,
}

impl RedisStore {
    pub async fn connect(url: &str, retention: Duration, patience: Duration) -> Result<Self, StoreError> {
        let connection = runtime::redis::connect(url, patience).await?;
        let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { connection, save: Script::new(COMPARE_AND_SET), retention_ms })
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError> {
        type Fields = (Option<u64>, Option<u64>, Option<Vec<u8>>);
        let mut connection = self.connection.clone();
        let fields: Fields = connection.hmget(key.to_string(), &["e", "w", "s"]).await?;
        let (Some(epoch), Some(write), Some(state)) = fields else { return Ok(None) };
        Ok(Some(Stored { version: Version { epoch, write }, state: Bytes::from(state) }))
    }

    async fn save(&self, key: &SessionKey, expected: Version, next: Stored) -> Result<(), StoreError> {
        let mut call = self.save.key(key.to_string());
        call.arg(expected.epoch).arg(expected.write);
        call.arg(next.version.epoch).arg(next.version.write).arg(&next.state[..]).arg(self.retention_ms);
        let mut connection = self.connection.clone();
        let written: u8 = call.invoke_async(&mut connection).await?;
        if written == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let mut connection = self.connection.clone();
        let removed: u64 = connection.del(key.to_string()).await?;
        Ok(removed == 1)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.connection.clone();
        Ok(redis::cmd("PING").query_async(&mut connection).await?)
    }
}
