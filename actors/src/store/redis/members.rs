//! Leases, and the index of open messages by their owners.

use super::{
    RedisStore,
    keys::{self, Keys},
};
use crate::store::{Member, Members, SessionKey, StoreError};
use async_trait::async_trait;
use protocol::JobId;
use redis::{AsyncCommands, ExistenceCheck, SetExpiry, SetOptions};
use std::time::Duration;

/// In the index: whichever turn ends last settles the session.
pub(super) const ANY: &str = "*";
/// About so many sessions are looked at in one go.
const SCANNED: usize = 512;

impl RedisStore {
    /// Notes that `member` owns the session and that `turn` is open.
    pub(super) async fn index(&self, member: &Member, key: &SessionKey, turn: &str) -> Result<(), StoreError> {
        Ok(self.connection().hset(keys::index(member), key.to_string(), turn).await?)
    }

    /// `turn` was the last open one.
    pub(super) async fn settled(&self, member: &Member, key: &SessionKey, turn: &JobId) -> Result<(), StoreError> {
        let mut call = self.scripts.settle.key(keys::index(member));
        call.arg(key.to_string()).arg(turn.as_str());
        self.call(&call).await
    }

    async fn orphans_of(&self, member: &Member, most: usize) -> Result<Vec<SessionKey>, StoreError> {
        let mut random = redis::cmd("HRANDFIELD");
        random.arg(keys::index(member)).arg(most);
        let found: Vec<String> = random.query_async(&mut self.connection()).await?;
        if found.is_empty() {
            let _: () = self.connection().srem(keys::MEMBERS, member.to_string()).await?;
        }
        Ok(found.iter().filter_map(|key| SessionKey::parse(key)).collect())
    }
}

#[async_trait]
impl Members for RedisStore {
    async fn join(&self, member: &Member, lease: Duration) -> Result<(), StoreError> {
        let mut connection = self.connection();
        // What its last life left behind is to be found, too.
        let lives: Vec<String> = member.last_life().iter().chain([member]).map(Member::to_string).collect();
        let _: () = connection.sadd(keys::MEMBERS, lives).await?;
        let once = SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::PX(ms(lease)));
        let joined: Option<String> = connection.set_options(keys::lease(member), 1, once).await?;
        if joined.is_some() { Ok(()) } else { Err(StoreError::Conflict) }
    }

    async fn renew(&self, member: &Member, lease: Duration) -> Result<bool, StoreError> {
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        Ok(self.connection().pexpire(keys::lease(member), lease_ms).await?)
    }

    async fn leave(&self, member: &Member) -> Result<(), StoreError> {
        Ok(self.connection().del(keys::lease(member)).await?)
    }

    async fn is_alive(&self, member: &Member) -> Result<bool, StoreError> {
        Ok(self.connection().exists(keys::lease(member)).await?)
    }

    async fn orphans(&self, most: usize) -> Result<Vec<(Member, SessionKey)>, StoreError> {
        let known: Vec<String> = self.connection().smembers(keys::MEMBERS).await?;
        let mut orphans = Vec::new();
        for member in known.iter().filter_map(|text| Member::parse(text)) {
            if orphans.len() < most && !self.is_alive(&member).await? {
                let found = self.orphans_of(&member, most - orphans.len()).await?;
                orphans.extend(found.into_iter().map(|key| (member.clone(), key)));
            }
        }
        Ok(orphans)
    }

    async fn held(&self, of: &Member, from: u64) -> Result<(Vec<SessionKey>, u64), StoreError> {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(keys::index(of)).arg(from).arg("COUNT").arg(SCANNED);
        let (next, found): (u64, Vec<(String, String)>) = scan.query_async(&mut self.connection()).await?;
        let found: Vec<_> = found.iter().filter_map(|(key, _)| SessionKey::parse(key)).collect();
        let mut read = redis::pipe();
        for key in &found {
            read.hget(Keys::of(key).session, "o");
        }
        // An empty pipeline is answered by an error.
        let owners: Vec<Option<String>> =
            if found.is_empty() { Vec::new() } else { read.query_async(&mut self.connection()).await? };
        let me = of.to_string();
        let held = found.into_iter().zip(owners).filter(|(_, owner)| owner.as_ref() == Some(&me));
        Ok((held.map(|(key, _)| key).collect(), next))
    }

    async fn adopted(&self, of: &Member, by: Option<&Member>, key: &SessionKey) -> Result<(), StoreError> {
        if let Some(by) = by {
            let _: bool = self.connection().hset_nx(keys::index(by), key.to_string(), ANY).await?;
        }
        Ok(self.connection().hdel(keys::index(of), key.to_string()).await?)
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
