//! The store as turns ask it: for a short time, and not at all while it does not answer.

use super::store::{AnswerStore, CacheError};
use futures_util::future::{BoxFuture, Either, select};
use runtime::Clock;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Waits; a parameter, so that tests need not.
pub(super) type Pause = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// After so many failures in a row the store is left alone for so long.
const FAILURES: u32 = 3;
const RESTS_MS: u64 = 1_000;

/// A store and how long it is waited for.
pub(super) struct Patient {
    pub store: Arc<dyn AnswerStore>,
    pub pause: Pause,
    clock: Arc<dyn Clock>,
    patience: Duration,
    failures: AtomicU32,
    rests_until: AtomicU64,
}

impl Patient {
    pub fn new(store: Arc<dyn AnswerStore>, patience: Duration, clock: Arc<dyn Clock>, pause: Pause) -> Self {
        Self { store, pause, clock, patience, failures: AtomicU32::new(0), rests_until: AtomicU64::new(0) }
    }

    /// What the store says, if it says so soon.
    pub async fn ask<T>(&self, asked: impl Future<Output = Result<T, CacheError>>) -> Result<T, CacheError> {
        if self.clock.now().0 < self.rests_until.load(Ordering::Relaxed) {
            return Err(CacheError("left alone for a moment".into()));
        }
        let answered = match select(pin!(asked), (self.pause)(self.patience)).await {
            Either::Left((answered, _)) => answered,
            Either::Right(_) => Err(CacheError(format!("no answer after {} ms", self.patience.as_millis()))),
        };
        self.note(answered.as_ref().err());
        answered
    }

    fn note(&self, error: Option<&CacheError>) {
        let Some(error) = error else {
            if self.failures.swap(0, Ordering::Relaxed) >= FAILURES {
                tracing::info!("the answer cache answers again");
            }
            return;
        };
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= FAILURES {
            self.rests_until.store(self.clock.now().after_ms(RESTS_MS).0, Ordering::Relaxed);
        }
        if failures == FAILURES {
            tracing::warn!(%error, "turns do without the answer cache until it answers again");
        }
    }
}
