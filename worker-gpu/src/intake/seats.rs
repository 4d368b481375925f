//! Whose turn it is: jobs of the worker's own queue and of the shared one in front of the same engine.

use protocol::Timestamp;
use runtime::Context;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Jobs that are held ready for the next free slot.
const SPARE: usize = 2;
/// Shared jobs are asked for in so many steps: in so small numbers that few are too many once own ones come, too.
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
    /// How long a job may wait in the worker's own queue and here.
    patience: Duration,
}

impl Seats {
    /// For an engine with `slots`; a job of the worker's own queue waits for at most `patience`.
    pub fn new(slots: usize, patience: Duration) -> Self {
        let total = u16::try_from(slots + SPARE).unwrap_or(u16::MAX);
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

    /// Waits for a seat. `None`: the job came from the worker's own queue and should not wait here any longer.
    pub async fn take(&self, origin: &Origin, published: Timestamp, context: &Context) -> Option<SemaphorePermit<'_>> {
        if matches!(origin, Origin::Shared) {
            return self.free.acquire().await.ok();
        }
        let waited = Duration::from_millis(context.clock.now().ms_from(published));
        tokio::select! {
            biased;
            seat = self.free.acquire() => seat.ok(),
            () = context.stop.cancelled() => None,
            () = tokio::time::sleep(self.patience.saturating_sub(waited)) => None,
        }
    }
}
