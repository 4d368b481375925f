//! Sessions in this process's memory; gone with it.

use super::{SessionKey, SessionStore, StoreError, Stored, Version};
use async_trait::async_trait;
use protocol::Timestamp;
use runtime::Clock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

struct Entry {
    stored: Stored,
    until: Timestamp,
}

type Entries = HashMap<SessionKey, Entry>;

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

    /// Whether one more session fits, after the expired ones have gone.
    fn has_room(&self, entries: &mut Entries, now: Timestamp) -> bool {
        if entries.len() >= self.capacity {
            entries.retain(|_, entry| entry.until > now);
        }
        entries.len() < self.capacity
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError> {
        let now = self.clock.now();
        Ok(self.entries().get(key).filter(|entry| entry.until > now).map(|entry| entry.stored.clone()))
    }

    async fn save(&self, key: &SessionKey, expected: Version, next: Stored) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut entries = self.entries();
        let current = entries.get(key).filter(|entry| entry.until > now).map(|entry| entry.stored.version);
        if current.unwrap_or_default() != expected {
            return Err(StoreError::Conflict);
        }
        if !entries.contains_key(key) && !self.has_room(&mut entries, now) {
            return Err(StoreError::Full);
        }
        let keep = u64::try_from(self.retention.as_millis()).unwrap_or(u64::MAX);
        entries.insert(key.clone(), Entry { stored: next, until: now.after_ms(keep) });
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
