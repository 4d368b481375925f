//! Sessions in Redis.
//!
//! A session has three keys, which a hash tag keeps on one node of a cluster: `fd:{<tenant>/<session>}` is a hash of `e`
//! (epoch), `w` (write), `s` (state) and `o` (owner), `…:open` a hash of turns and their messages, `…:shown` a list of a turn and
//! its events. Each rule of [`super::record`] is one script.

mod keys;
mod members;
mod reply;

use super::{Claim, Fence, Member, SessionKey, SessionStore, StoreError, Stored, Version};
use async_trait::async_trait;
use bytes::Bytes;
use keys::Keys;
use members::ANY;
use protocol::JobId;
use redis::{RedisError, Script, ScriptInvocation, Value, aio::ConnectionManager};
use std::time::Duration;

struct Scripts {
    create: Script,
    claim: Script,
    accept: Script,
    show: Script,
    save: Script,
    close: Script,
    release: Script,
    settle: Script,
}

impl Scripts {
    fn new() -> Self {
        Self {
            create: Script::new(include_str!("create.lua")),
            claim: Script::new(include_str!("claim.lua")),
            accept: Script::new(include_str!("accept.lua")),
            show: Script::new(include_str!("show.lua")),
            save: Script::new(include_str!("save.lua")),
            close: Script::new(include_str!("close.lua")),
            release: Script::new(include_str!("release.lua")),
            settle: Script::new(include_str!("settle.lua")),
        }
    }
}

pub(super) struct RedisStore {
    connection: ConnectionManager,
    scripts: Scripts,
    retention_ms: u64,
}

impl RedisStore {
    pub async fn connect(url: &str, retention: Duration, patience: Duration) -> Result<Self, StoreError> {
        let connection = runtime::redis::connect(url, patience).await?;
        let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { connection, scripts: Scripts::new(), retention_ms })
    }

    fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    async fn call<T: redis::FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    /// `turn` has ended and `left` messages are open, or it was refused.
    async fn ended(&self, key: &SessionKey, fence: &Fence, turn: &JobId, left: i64) -> Result<(), StoreError> {
        match left {
            0 => self.settled(&fence.by, key, turn).await,
            1.. => Ok(()),
            _ => Err(StoreError::Conflict),
        }
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn done(answer: u8) -> Result<(), StoreError> {
    if answer == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn create(&self, key: &SessionKey, state: Bytes) -> Result<(), StoreError> {
        let mut call = self.scripts.create.key(Keys::of(key).session);
        call.arg(&state[..]).arg(self.retention_ms);
        done(self.call(&call).await?)
    }

    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError> {
        type Fields = ((Option<u64>, Option<u64>, Option<Vec<u8>>), Vec<Vec<u8>>);
        let keys = Keys::of(key);
        let mut read = redis::pipe();
        read.hmget(&keys.session, &["e", "w", "s"]).hvals(&keys.open);
        let ((epoch, write, state), open): Fields = read.query_async(&mut self.connection()).await?;
        let (Some(epoch), Some(write), Some(state)) = (epoch, write, state) else { return Ok(None) };
        let open = open.into_iter().map(Bytes::from).collect();
        Ok(Some(Stored { version: Version { epoch, write }, state: state.into(), open }))
    }

    async fn claim(
        &self,
        key: &SessionKey,
        by: &Member,
        instead_of: Option<&Member>,
    ) -> Result<Option<Claim>, StoreError> {
        let mut call = Keys::of(key).all(&self.scripts.claim);
        call.arg(by.to_string()).arg(instead_of.map(Member::to_string).unwrap_or_default());
        let claimed = reply::claim(by, self.call::<Value>(&call).await?)?;
        if let Some(Claim::Owned(record)) = &claimed
            && !record.open.is_empty()
        {
            self.index(by, key, ANY).await?;
        }
        Ok(claimed)
    }

    async fn accept(&self, key: &SessionKey, fence: &Fence, turn: &JobId, message: Bytes) -> Result<(), StoreError> {
        let keys = Keys::of(key);
        let mut call = self.scripts.accept.key(&keys.session);
        call.key(&keys.open).arg(fence.epoch).arg(turn.as_str()).arg(&message[..]).arg(self.retention_ms);
        // Both are on their way before either is answered: an accepted message is in the index.
        let (indexed, accepted) = tokio::join!(self.index(&fence.by, key, turn.as_str()), self.call(&call));
        indexed?;
        done(accepted?)
    }

    async fn show(
        &self,
        key: &SessionKey,
        fence: &Fence,
        turn: &JobId,
        from: usize,
        events: &[Bytes],
    ) -> Result<(), StoreError> {
        let keys = Keys::of(key);
        let mut call = self.scripts.show.key(&keys.session);
        call.key(&keys.shown).arg(fence.epoch).arg(turn.as_str()).arg(from).arg(self.retention_ms);
        for event in events {
            call.arg(&event[..]);
        }
        done(self.call(&call).await?)
    }

    async fn save(
        &self,
        key: &SessionKey,
        fence: &Fence,
        write: u64,
        state: Bytes,
        turn: &JobId,
    ) -> Result<(), StoreError> {
        let mut call = Keys::of(key).all(&self.scripts.save);
        call.arg(fence.epoch).arg(write).arg(turn.as_str()).arg(&state[..]).arg(self.retention_ms);
        let left = self.call(&call).await?;
        self.ended(key, fence, turn, left).await
    }

    async fn close(&self, key: &SessionKey, fence: &Fence, turn: &JobId) -> Result<(), StoreError> {
        let mut call = Keys::of(key).all(&self.scripts.close);
        call.arg(fence.epoch).arg(turn.as_str());
        let left = self.call(&call).await?;
        self.ended(key, fence, turn, left).await
    }

    async fn release(&self, key: &SessionKey, fence: &Fence) -> Result<(), StoreError> {
        let keys = Keys::of(key);
        let mut call = self.scripts.release.key(&keys.session);
        call.arg(fence.epoch);
        self.call(&call).await
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let Keys { session, open, shown } = Keys::of(key);
        let mut delete = redis::pipe();
        delete.atomic().del(session).del(open).ignore().del(shown).ignore();
        let (removed,): (u64,) = delete.query_async(&mut self.connection()).await?;
        Ok(removed == 1)
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(redis::cmd("PING").query_async(&mut self.connection()).await?)
    }
}
