//! Whose turn it is: jobs of the worker's own queue and of the shared one in front of the same engine.

use super::Shared;
use protocol::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// One job is held ready for so many slots, but no more than [`SPARE_MAX`].
const SLOTS_PER_SPARE: usize = 4;
const SPARE_MAX: usize = 2;
/// Shared jobs are asked for in so many steps: few at a time, so that few are too many once own ones come, too.
const STEPS: u16 = 4;

/// From which queue a job came.
pub(super) enum Origin {
    Shared,
    /// The worker's own; see [`Seats::own`].
    Own(#[expect(dead_code, reason = "it counts while it lives")] Arc<()>),
}

impl Origin {
    pub fn is_own(&self) -> bool {
        matches!(self, Origin::Own(_))
    }
}

/// Jobs that are in the engine or next to it, at most.
pub(super) struct Seats {
    free: Arc<Semaphore>,
    total: AtomicU16,
    own: Arc<()>,
    patience: Duration,
}

impl Seats {
    /// For engines with `slots` together; another worker should get what does not start within `patience`.
    pub fn new(slots: usize, patience: Duration) -> Self {
        let spare = (slots / SLOTS_PER_SPARE).min(SPARE_MAX);
        let total = u16::try_from(slots + spare).unwrap_or(u16::MAX);
        Self {
            free: Arc::new(Semaphore::new(total.into())),
            total: AtomicU16::new(total),
            own: Arc::default(),
            patience,
        }
    }

    /// How many there are.
    pub fn total(&self) -> u16 {
        self.total.load(Ordering::Relaxed)
    }

    /// `slots` are lost; their seats go as they are left.
    pub fn lose(&self, slots: usize) {
        let lost = u16::try_from(slots).unwrap_or(u16::MAX).min(self.total());
        self.total.fetch_sub(lost, Ordering::Relaxed);
        let free = self.free.clone();
        tokio::spawn(async move { free.acquire_many_owned(lost.into()).await.map(OwnedSemaphorePermit::forget) });
    }

    /// How many shared jobs are asked for at a time.
    pub fn step(&self) -> u16 {
        self.total().div_ceil(STEPS)
    }

    /// The origin of a job that came from the worker's own queue.
    pub fn own(&self) -> Origin {
        Origin::Own(self.own.clone())
    }

    /// What jobs of the worker's own queue, seated or waiting, leave for shared ones.
    pub fn left(&self) -> u16 {
        self.total().saturating_sub(u16::try_from(Arc::strong_count(&self.own) - 1).unwrap_or(u16::MAX))
    }

    /// Until when a job that came just now may wait. One of the worker's own queue has waited there since it was published; a
    /// shared one that came too many moves on once, which is its next attempt.
    pub fn wait_until(&self, origin: &Origin, attempt: u32, published: Timestamp, now: Timestamp) -> Option<Instant> {
        let waited = match origin {
            Origin::Own(_) => Duration::from_millis(now.ms_from(published)),
            Origin::Shared if attempt == 0 => Duration::ZERO,
            Origin::Shared => return None,
        };
        Some(Instant::now() + self.patience.saturating_sub(waited))
    }

    /// Waits for a seat; `None`: another worker should take the job.
    pub async fn take<'a>(&'a self, until: Option<Instant>, shared: &Shared) -> Option<SemaphorePermit<'a>> {
        let Some(until) = until else {
            return self.free.acquire().await.ok();
        };
        tokio::select! {
            biased;
            seat = self.free.acquire() => seat.ok(),
            () = shared.context.stop.cancelled() => None,
            () = sleep_until(until) => None,
        }
    }
}
