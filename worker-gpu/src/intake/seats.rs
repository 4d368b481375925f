//! Whose turn it is: jobs of the worker's own queue and of the shared one in front of the same engine.

use super::Shared;
use protocol::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
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

/// Jobs that are in the engine or next to it, at most.
pub(super) struct Seats {
    free: Semaphore,
    total: u16,
    own: Arc<()>,
    patience: Option<Duration>,
}

impl Seats {
    /// For an engine with `slots`; another worker should get what has not started after `patience`, if that is given.
    pub fn new(slots: usize, patience: Option<Duration>) -> Self {
        let spare = (slots / SLOTS_PER_SPARE).min(SPARE_MAX);
        let total = u16::try_from(slots + spare).unwrap_or(u16::MAX);
        Self { free: Semaphore::new(total.into()), total, own: Arc::default(), patience }
    }

    /// How many there are.
    pub fn total(&self) -> u16 {
        self.total
    }

    /// How many shared jobs are asked for at a time.
    pub fn step(&self) -> u16 {
        self.total.div_ceil(STEPS)
    }

    /// The origin of a job that came from the worker's own queue.
    pub fn own(&self) -> Origin {
        Origin::Own(self.own.clone())
    }

    /// What jobs of the worker's own queue, seated or waiting, leave for shared ones.
    pub fn left(&self) -> u16 {
        self.total.saturating_sub(u16::try_from(Arc::strong_count(&self.own) - 1).unwrap_or(u16::MAX))
    }

    /// When a job that came just now must have started. One of the worker's own queue has waited there since it was
    /// published; a shared one that came too many moves on once, which is its next attempt.
    pub fn start_by(&self, origin: &Origin, attempt: u32, published: Timestamp, now: Timestamp) -> Option<Instant> {
        let waited = match origin {
            Origin::Own(_) => Duration::from_millis(now.ms_from(published)),
            Origin::Shared if attempt == 0 => Duration::ZERO,
            Origin::Shared => return None,
        };
        Some(Instant::now() + self.patience?.saturating_sub(waited))
    }

    /// Waits for a seat; `None`: another worker should take the job.
    pub async fn take<'a>(&'a self, start_by: Option<Instant>, shared: &Shared) -> Option<SemaphorePermit<'a>> {
        let Some(start_by) = start_by else {
            return self.free.acquire().await.ok();
        };
        tokio::select! {
            biased;
            seat = self.free.acquire() => seat.ok(),
            () = shared.context.stop.cancelled() => None,
            () = sleep_until(start_by) => None,
        }
    }
}
