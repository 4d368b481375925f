//! What all gateway nodes count together, in Redis and by its clock.
//!
//! A tenant's keys are `fd:{<tenant>}:quota:<what>`: the braces keep them on one node of a cluster.

use super::quotas::{Bucket, Grant, Hold, Lost, Quotas};
use async_trait::async_trait;
use protocol::TenantId;
use redis::{RedisError, Script, aio::ConnectionManager};
use std::time::Duration;

/// Brings a bucket's level (`l`, as of `at` µs) to now. ARGV 1: units per minute. Lua shortens large numbers unless told.
/// A bucket in full debt is full again after two minutes, and then equals one that does not exist.
macro_rules! bucket {
    ($change:literal) => {
        concat!(
            "
local time = redis.call('TIME')
local now, limit = time[1] * 1000000 + time[2], tonumber(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'l', 'at')
local level = limit
if kept[1] then level = math.min(limit, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * limit / 60000000) end
local given, wait = 0, 0
",
            $change,
            "
redis.call('HSET', KEYS[1], 'l', string.format('%.6f', level), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], 130000)
return {given, wait}"
        )
    };
}

/// ARGV 2: needed, 3: wanted.
const TAKE: &str = bucket!(
    "
local need = tonumber(ARGV[2])
if level < need then wait = math.ceil((need - level) * 60000 / limit)
else
  given = math.max(need, math.min(tonumber(ARGV[3]), math.floor(level)))
  level = level - given
end"
);

/// ARGV 2: given back, or charged where negative.
const GIVE: &str = bucket!("level = math.max(-limit, math.min(limit, level + tonumber(ARGV[2])))");

/// ARGV: node, limit, wanted, time to live in ms. A node's field is `<slots> <until, ms>`.
const SLOTS: &str = "
local time = redis.call('TIME')
local now, others = time[1] * 1000 + math.floor(time[2] / 1000), 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local held, till = string.match(all[i + 1], '(%d+) (%d+)')
  if tonumber(till) <= now then redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then others = others + tonumber(held) end
end
local given = math.max(0, math.min(tonumber(ARGV[3]), tonumber(ARGV[2]) - others))
if given > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f', given, now + ARGV[4]))
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
else redis.call('HDEL', KEYS[1], ARGV[1]) end
return given";

/// A server that nodes share.
pub(crate) struct Shared {
    connection: ConnectionManager,
    take: Script,
    give: Script,
    slots: Script,
}

impl Shared {
    /// Connects to `url`; who does not answer within `patience` is lost.
    pub(crate) async fn connect(url: &str, patience: Duration) -> Result<Self, Lost> {
        let connection = runtime::redis::connect(url, patience).await?;
        let [take, give, slots] = [TAKE, GIVE, SLOTS].map(Script::new);
        Ok(Self { connection, take, give, slots })
    }
}

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

fn key(tenant: &TenantId, what: &str) -> String {
    format!("fd:{{{tenant}}}:quota:{what}")
}

#[async_trait]
impl Quotas for Shared {
    async fn take(&self, bucket: Bucket<'_>, need: u64, want: u64) -> Result<Grant, Lost> {
        let mut call = self.take.key(key(bucket.tenant, bucket.kind.name()));
        call.arg(bucket.per_minute).arg(need).arg(want);
        let (given, wait): (u64, u64) = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(if wait > 0 { Grant::Wait(wait) } else { Grant::Units(given) })
    }

    async fn give(&self, bucket: Bucket<'_>, units: i64) -> Result<(), Lost> {
        let mut call = self.give.key(key(bucket.tenant, bucket.kind.name()));
        call.arg(bucket.per_minute).arg(units);
        let _: (u64, u64) = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(())
    }

    async fn slots(&self, tenant: &TenantId, hold: Hold<'_>) -> Result<u32, Lost> {
        let mut call = self.slots.key(key(tenant, "turns"));
        call.arg(hold.node).arg(hold.limit).arg(hold.want).arg(hold.ttl_ms);
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    async fn check(&self) -> Result<(), Lost> {
        Ok(redis::cmd("PING").query_async(&mut self.connection.clone()).await?)
    }
}
