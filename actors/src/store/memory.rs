//! Sessions in this process's memory; gone with it.

use super::{SessionKey, SessionStore, StoreError, Stored, Version};
use async_trait::async_trait;
use protocol::Timestamp;
use runtime::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

struct Entry {
    stored: Stored,
    until: Timestamp,
    /// Its place in the order of saves.
    place: u64,
}

/// Sessions by the order of their last saves, which is that of their expiry.
type Order = BTreeMap<u64, SessionKey>;

#[derive(Default)]
struct Entries {
    by_key: HashMap<SessionKey, Entry>,
    /// Written once, when they were created: they hold no message.
    unused: Order,
    used: Order,
    saves: u64,
}

impl Entries {
    fn alive(&self, key: &SessionKey, now: Timestamp) -> Option<&Stored> {
        self.by_key.get(key).filter(|entry| entry.until > now).map(|entry| &entry.stored)
    }

    fn order(&mut self, version: Version) -> &mut Order {
        if version.write <= 1 { &mut self.unused } else { &mut self.used }
    }

    fn insert(&mut self, key: SessionKey, stored: Stored, until: Timestamp) {
        self.remove(&key);
        self.saves += 1;
        let place = self.saves;
        self.order(stored.version).insert(place, key.clone());
        self.by_key.insert(key, Entry { stored, until, place });
    }

    fn remove(&mut self, key: &SessionKey) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        self.order(entry.stored.version).remove(&entry.place);
        Some(entry)
    }

    /// The expired ones go; if that frees nothing, the session without messages that was created first. `false`: all
    /// sessions hold messages.
    fn make_room(&mut self, capacity: usize, now: Timestamp) -> bool {
        while self.by_key.len() >= capacity {
            let oldest = [&self.unused, &self.used].map(|order| order.first_key_value().map(|(_, key)| key.clone()));
            let is_expired = |key: &&SessionKey| self.alive(key, now).is_none();
            let Some(goes) = oldest.iter().flatten().find(is_expired).or(oldest[0].as_ref()) else { return false };
            self.remove(goes);
        }
        true
    }
}

pub(super) struct MemoryStore {
    entries: Mutex<Entries>,
    retention: Duration,
    capacity: usize,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    pub fn new(retention: Duration, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self { entries: Mutex::default(), retention, capacity, clock }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError> {
        let now = self.clock.now();
        Ok(self.entries().alive(key, now).cloned())
    }

    async fn save(&self, key: &SessionKey, expected: Version, next: Stored) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        let current = entries.alive(key, now).map(|stored| stored.version);
        if current.unwrap_or_default() != expected {
            return Err(StoreError::Conflict);
        }
        if !entries.by_key.contains_key(key) && !entries.make_room(self.capacity, now) {
            return Err(StoreError::Full);
        }
        let keep = u64::try_from(self.retention.as_millis()).unwrap_or(u64::MAX);
        entries.insert(key.clone(), next, now.after_ms(keep));
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let now = self.clock.now();
        Ok(self.entries().remove(key).is_some_and(|entry| entry.until > now))
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
