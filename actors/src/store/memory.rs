//! Sessions in this process's memory; gone with it.

use super::{Claim, Fence, Member, Members, Record, SessionKey, SessionStore, StoreError, Stored, Version};
use async_trait::async_trait;
use bytes::Bytes;
use protocol::{JobId, Timestamp};
use runtime::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Dead members that are remembered, so that they do not join again.
const REMEMBERED: usize = 1024;

struct Entry {
    record: Record,
    until: Timestamp,
    /// Its place in the order of saves.
    place: u64,
}

impl Entry {
    /// Whether nothing was ever said in it, nor is about to be.
    fn is_unused(&self) -> bool {
        self.record.version.write <= 1 && self.record.open.is_empty()
    }
}

/// Sessions by the order of their last saves, which is that of their expiry.
type Order = BTreeMap<u64, SessionKey>;

#[derive(Default)]
struct Entries {
    by_key: HashMap<SessionKey, Entry>,
    /// They hold no message.
    unused: Order,
    used: Order,
    saves: u64,
}

impl Entries {
    fn alive(&mut self, key: &SessionKey, now: Timestamp) -> Option<&mut Entry> {
        self.by_key.get_mut(key).filter(|entry| entry.until > now)
    }

    fn order(&mut self, is_unused: bool) -> &mut Order {
        if is_unused { &mut self.unused } else { &mut self.used }
    }

    fn insert(&mut self, key: SessionKey, record: Record, until: Timestamp) {
        self.remove(&key);
        self.saves += 1;
        let place = self.saves;
        let entry = Entry { record, until, place };
        self.order(entry.is_unused()).insert(place, key.clone());
        self.by_key.insert(key, entry);
    }

    fn remove(&mut self, key: &SessionKey) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        self.unused.remove(&entry.place);
        self.used.remove(&entry.place);
        Some(entry)
    }

    /// The expired ones go; if that frees nothing, the session without messages that was created first. `false`: all
    /// sessions hold messages.
    fn make_room(&mut self, capacity: usize, now: Timestamp) -> bool {
        while self.by_key.len() >= capacity {
            let oldest = [&self.unused, &self.used].map(|order| order.first_key_value().map(|(_, key)| key.clone()));
            let expired = oldest.iter().flatten().find(|key| self.by_key.get(key).is_none_or(|e| e.until <= now));
            let Some(goes) = expired.or(oldest[0].as_ref()).cloned() else { return false };
            self.remove(&goes);
        }
        true
    }
}

pub(super) struct MemoryStore {
    entries: Mutex<Entries>,
    members: Mutex<HashMap<Member, Timestamp>>,
    retention: Duration,
    capacity: usize,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    pub fn new(retention: Duration, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self { entries: Mutex::default(), members: Mutex::default(), retention, capacity, clock }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, HashMap<Member, Timestamp>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, now: Timestamp, time: Duration) -> Timestamp {
        now.after_ms(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// Writes to a session by `change`; it is not dropped before the retention time when that `renews` it.
    fn write<T>(
        &self,
        key: &SessionKey,
        renews: bool,
        change: impl FnOnce(&mut Record) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        let Some(entry) = entries.alive(key, now) else { return Err(StoreError::Conflict) };
        let was_unused = entry.is_unused();
        let changed = change(&mut entry.record)?;
        if renews || entry.is_unused() != was_unused {
            let until = if renews { self.until(now, self.retention) } else { entry.until };
            let record = entry.record.clone();
            entries.insert(key.clone(), record, until);
        }
        Ok(changed)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn create(&self, key: &SessionKey, state: Bytes) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        if entries.alive(key, now).is_some() {
            return Err(StoreError::Conflict);
        }
        if !entries.by_key.contains_key(key) && !entries.make_room(self.capacity, now) {
            return Err(StoreError::Full);
        }
        entries.insert(key.clone(), Record::new(state), self.until(now, self.retention));
        Ok(())
    }

    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        let record = entries.alive(key, now).map(|entry| &entry.record);
        Ok(record.map(|record| Stored {
            version: record.version,
            state: record.state.clone(),
            open: record.open.values().cloned().collect(),
        }))
    }

    async fn claim(
        &self,
        key: &SessionKey,
        by: &Member,
        instead_of: Option<&Member>,
    ) -> Result<Option<Claim>, StoreError> {
        let claimed = self.write(key, false, |record| Ok(record.claim(by, instead_of)));
        Ok(claimed.ok())
    }

    async fn accept(&self, key: &SessionKey, fence: &Fence, turn: &JobId, message: Bytes) -> Result<(), StoreError> {
        self.write(key, false, |record| record.accept(fence.epoch, turn, message))
    }

    async fn show(
        &self,
        key: &SessionKey,
        fence: &Fence,
        turn: &JobId,
        from: usize,
        events: &[Bytes],
    ) -> Result<(), StoreError> {
        self.write(key, false, |record| record.show(fence.epoch, turn, from, events))
    }

    async fn save(
        &self,
        key: &SessionKey,
        fence: &Fence,
        write: u64,
        state: Bytes,
        turn: &JobId,
    ) -> Result<(), StoreError> {
        let expected = Version { epoch: fence.epoch, write };
        self.write(key, true, |record| record.save(expected, state, turn))
    }

    async fn close(&self, key: &SessionKey, fence: &Fence, turn: &JobId) -> Result<(), StoreError> {
        self.write(key, false, |record| record.close(fence.epoch, turn))
    }

    async fn release(&self, key: &SessionKey, fence: &Fence) -> Result<(), StoreError> {
        let released = self.write(key, false, |record| {
            record.release(fence.epoch);
            Ok(())
        });
        released.or(Ok(()))
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let now = self.clock.now();
        Ok(self.entries().remove(key).is_some_and(|entry| entry.until > now))
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Members for MemoryStore {
    async fn join(&self, member: &Member, lease: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut members = self.members();
        if members.contains_key(member) {
            return Err(StoreError::Conflict);
        }
        if members.len() >= REMEMBERED {
            members.retain(|_, until| *until > now);
        }
        members.insert(member.clone(), self.until(now, lease));
        Ok(())
    }

    async fn renew(&self, member: &Member, lease: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut members = self.members();
        let running = members.get_mut(member).filter(|until| **until > now);
        Ok(running.map(|until| *until = self.until(now, lease)).is_some())
    }

    async fn leave(&self, member: &Member) -> Result<(), StoreError> {
        if let Some(until) = self.members().get_mut(member) {
            *until = Timestamp(0);
        }
        Ok(())
    }

    async fn is_alive(&self, member: &Member) -> Result<bool, StoreError> {
        let now = self.clock.now();
        Ok(self.members().get(member).is_some_and(|until| *until > now))
    }

    async fn orphans(&self, most: usize) -> Result<Vec<(Member, SessionKey)>, StoreError> {
        let now = self.clock.now();
        let alive: Vec<Member> =
            self.members().iter().filter(|(_, until)| **until > now).map(|(member, _)| member.clone()).collect();
        let entries = self.entries();
        let open = entries.by_key.iter().filter(|(_, entry)| entry.until > now && !entry.record.open.is_empty());
        let owned = open.filter_map(|(key, entry)| Some((entry.record.owner.clone()?, key.clone())));
        Ok(owned.filter(|(owner, _)| !alive.contains(owner)).take(most).collect())
    }

    async fn held(&self, of: &Member, _: u64) -> Result<(Vec<SessionKey>, u64), StoreError> {
        let now = self.clock.now();
        let entries = self.entries();
        let open = entries.by_key.iter().filter(|(_, entry)| entry.until > now && !entry.record.open.is_empty());
        let held = open.filter(|(_, entry)| entry.record.owner.as_ref() == Some(of));
        Ok((held.map(|(key, _)| key.clone()).collect(), 0))
    }

    async fn adopted(&self, _: &Member, _: Option<&Member>, _: &SessionKey) -> Result<(), StoreError> {
        Ok(())
    }
}
