//! The session actors of one thread, by session.

use crate::{
    env::Env,
    load::Seat,
    session::{Kept, Session},
    store::SessionKey,
};
use actix::{Actor, Addr, ArbiterHandle};
use protocol::Timestamp;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Idle sessions looked at when one has to leave.
const LOOKED_AT: usize = 64;

/// What an actor lets others see of its doings.
#[derive(Default)]
pub(crate) struct Activity {
    busy: AtomicBool,
    used: AtomicU64,
}

impl Activity {
    pub fn touch(&self, busy: bool, now: Timestamp) {
        self.busy.store(busy, Ordering::Relaxed);
        self.used.store(now.0, Ordering::Relaxed);
    }

    pub fn used(&self) -> Timestamp {
        Timestamp(self.used.load(Ordering::Relaxed))
    }
}

struct Entry {
    addr: Addr<Session>,
    activity: Arc<Activity>,
    id: u64,
}

/// The sessions that one thread runs.
pub(crate) struct Shard {
    thread: ArbiterHandle,
    entries: Mutex<HashMap<SessionKey, Entry>>,
    next_id: AtomicU64,
}

impl Shard {
    pub fn new(thread: ArbiterHandle) -> Arc<Self> {
        Arc::new(Self { thread, entries: Mutex::default(), next_id: AtomicU64::new(0) })
    }

    /// The session's actor, started if there is none; `kept`: what it holds instead of what lies in the store. `None`: the
    /// node is full, or shuts down.
    pub fn actor(self: &Arc<Self>, env: &Arc<Env>, key: &SessionKey, kept: Option<Kept>) -> Option<Addr<Session>> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(key).filter(|entry| entry.addr.connected()) {
            return Some(entry.addr.clone());
        }
        let seat = if env.load.is_draining() { None } else { env.load.seat() }?;
        let activity = Arc::new(Activity::default());
        activity.touch(true, env.now());
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (shard, env, place, shown) = (self.clone(), env.clone(), key.clone(), activity.clone());
        let addr = Session::start_in_arbiter(&self.thread, move |_| {
            Session::new(env, Place { shard, key: place, id, activity: shown, _seat: seat }, kept)
        });
        entries.insert(key.clone(), Entry { addr: addr.clone(), activity, id });
        Some(addr)
    }

    pub fn has(&self, key: &SessionKey) -> bool {
        self.lock().get(key).is_some_and(|entry| entry.addr.connected())
    }

    /// Of some sessions, the one that has been idle for longest.
    pub fn idlest(&self) -> Option<Addr<Session>> {
        let entries = self.lock();
        let idle = entries.values().filter(|entry| !entry.activity.busy.load(Ordering::Relaxed)).take(LOOKED_AT);
        idle.min_by_key(|entry| entry.activity.used()).map(|entry| entry.addr.clone())
    }

    /// All actors that run now.
    pub fn all(&self) -> Vec<Addr<Session>> {
        self.lock().values().map(|entry| entry.addr.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An actor's entry in its shard; dropping it leaves.
pub(crate) struct Place {
    shard: Arc<Shard>,
    pub key: SessionKey,
    id: u64,
    pub activity: Arc<Activity>,
    _seat: Seat,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut entries = self.shard.lock();
        if entries.get(&self.key).is_some_and(|entry| entry.id == self.id) {
            entries.remove(&self.key);
        }
    }
}
