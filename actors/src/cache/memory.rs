//! Answers within one process.

use super::{
    entry::{Entry, Listed},
    scope::Key,
    store::{AnswerStore, Bounds, CacheError, Place},
};
use async_trait::async_trait;
use bytes::Bytes;
use protocol::{TenantId, Timestamp};
use runtime::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Keeps what Redis would, in the same bytes.
pub(super) struct MemoryAnswers {
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Kept>,
    leaders: HashMap<Key, (String, Timestamp)>,
    /// The last place that was given.
    last: u64,
}

#[derive(Default)]
struct Kept {
    places: HashMap<Key, u64>,
    list: BTreeMap<u64, Item>,
}

struct Item {
    key: Key,
    entry: Bytes,
    listed: Bytes,
    until: Timestamp,
}

impl Kept {
    fn remove(&mut self, place: u64) {
        if let Some(item) = self.list.remove(&place) {
            self.places.remove(&item.key);
        }
    }
}

impl MemoryAnswers {
    pub fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        Self { bounds, clock, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after(&self, ttl: Duration) -> Timestamp {
        self.clock.now().after_ms(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for MemoryAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAnswers").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

fn unreadable(error: serde_json::Error) -> CacheError {
    CacheError(error.to_string())
}

#[async_trait]
impl AnswerStore for MemoryAnswers {
    async fn find(&self, key: &Key) -> Result<Option<Entry>, CacheError> {
        let (now, state) = (self.clock.now(), self.lock());
        let found = state.tenants.get(&key.scope.tenant).and_then(|kept| kept.list.get(kept.places.get(key)?));
        let entry = found.filter(|item| now < item.until).map(|item| item.entry.clone());
        drop(state);
        entry.map(|bytes| serde_json::from_slice(&bytes).map_err(unreadable)).transpose()
    }

    async fn keep(&self, key: &Key, entry: &Entry, listed: &Listed) -> Result<(), CacheError> {
        let entry = serde_json::to_vec(entry).map_err(unreadable)?.into();
        let listed = serde_json::to_vec(listed).map_err(unreadable)?.into();
        let (now, until) = (self.clock.now(), self.after(self.bounds.ttl));
        let mut state = self.lock();
        state.last += 1;
        let place = state.last;
        let kept = state.tenants.entry(key.scope.tenant.clone()).or_default();
        if let Some(old) = kept.places.insert(key.clone(), place) {
            kept.list.remove(&old);
        }
        kept.list.insert(place, Item { key: key.clone(), entry, listed, until });
        // All are kept for the same time, so the oldest is the first to go.
        while let Some((oldest, item)) = kept.list.first_key_value()
            && (kept.list.len() > self.bounds.entries || now >= item.until)
        {
            let oldest = *oldest;
            kept.remove(oldest);
        }
        Ok(())
    }

    async fn tail(
        &self,
        tenant: &TenantId,
        after: Option<&Place>,
        most: usize,
    ) -> Result<Vec<(Place, Listed)>, CacheError> {
        let after = after.and_then(|place| place.0.parse::<u64>().ok()).unwrap_or(0);
        let state = self.lock();
        let Some(kept) = state.tenants.get(tenant) else { return Ok(Vec::new()) };
        let tail = kept.list.range(after + 1..).take(most).map(|(place, item)| (*place, item.listed.clone()));
        let tail: Vec<(u64, Bytes)> = tail.collect();
        drop(state);
        let read = |bytes: &Bytes| serde_json::from_slice(bytes).map_err(unreadable);
        tail.iter().map(|(place, bytes)| Ok((Place(place.to_string()), read(bytes)?))).collect()
    }

    async fn lead(&self, key: &Key, by: &str, ttl: Duration) -> Result<bool, CacheError> {
        let (now, until) = (self.clock.now(), self.after(ttl));
        let mut state = self.lock();
        let other = state.leaders.get(key).is_some_and(|(leader, until)| leader != by && now < *until);
        if !other {
            state.leaders.insert(key.clone(), (by.to_string(), until));
        }
        Ok(!other)
    }

    async fn follow(&self, key: &Key, by: &str) -> Result<(), CacheError> {
        let mut state = self.lock();
        if state.leaders.get(key).is_some_and(|(leader, _)| leader == by) {
            state.leaders.remove(key);
        }
        Ok(())
    }
}
