//! Time and randomness as parameters, so that tests decide them.

use protocol::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now, by the wall clock.
    fn now(&self) -> Timestamp;
}

/// Gives unpredictable numbers.
pub trait Random: Send + Sync + 'static {
    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid;

    /// 64 random bits.
    fn seed(&self) -> u64 {
        self.uuid().as_u64_pair().0
    }
}

/// The operating system's time and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Random for System {
    #[expect(clippy::disallowed_methods, reason = "the one place where random ids are drawn")]
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// A clock that a test moves.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Starts at `ms` after the epoch.
    pub fn at(ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(ms)))
    }

    /// Moves the time forward.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Numbers that repeat from run to run: 1, 2, 3, …
#[derive(Debug, Clone, Default)]
pub struct Counting(Arc<AtomicU64>);

impl Random for Counting {
    fn uuid(&self) -> Uuid {
        Uuid::from_u64_pair(0, self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn seed(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}
