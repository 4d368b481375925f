//! How many jobs a consumer may hold, while its limit changes.
//!
//! RabbitMQ fixes a consumer's prefetch when it begins, and quorum queues know no limit per channel. So a consumer takes
//! jobs in steps: once as many are out as its prefetch allows and the limit leaves room, it is cancelled and another one
//! begins on the same channel, whose prefetch is the room, or a step if that is less. At no other moment is a consumer
//! cancelled: a job that the broker sends meanwhile would return as a failed delivery. For the same reason nothing is
//! settled in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// What is out on one channel.
#[derive(Clone, Default)]
pub(super) struct Flow {
    counts: Arc<Mutex<Counts>>,
    changed: Arc<Notify>,
    gate: Arc<RwLock<()>>,
}

#[derive(Default)]
struct Counts {
    /// Unsettled jobs of all consumers, and of the current one.
    all: u16,
    current: u16,
    /// Which consumer is the current one, and what it may hold.
    number: u64,
    prefetch: u16,
}

/// One unsettled job.
pub(super) struct Held {
    flow: Flow,
    consumer: u64,
}

impl Held {
    /// To be kept while the job is settled.
    pub async fn settling(&self) -> OwnedRwLockReadGuard<()> {
        self.flow.gate.clone().read_owned().await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.flow.counts();
        counts.all -= 1;
        counts.current -= u16::from(counts.number == self.consumer);
        drop(counts);
        self.flow.changed.notify_one();
    }
}

impl Flow {
    /// A job has come.
    pub fn hold(&self) -> Held {
        let mut counts = self.counts();
        counts.all += 1;
        counts.current += 1;
        Held { flow: self.clone(), consumer: counts.number }
    }

    /// Returns when a job has been settled.
    pub async fn settled(&self) {
        self.changed.notified().await;
    }

    /// While the result is kept nothing is settled.
    pub async fn standstill(&self) -> OwnedRwLockWriteGuard<()> {
        self.gate.clone().write_owned().await
    }

    /// Whether a new consumer could take more, and the current one takes none.
    pub fn wants_more(&self, limit: u16) -> bool {
        let counts = self.counts();
        counts.current >= counts.prefetch && counts.all < limit
    }

    /// The prefetch of a new consumer.
    pub fn renew(&self, limit: u16, step: u16) -> u16 {
        let mut counts = self.counts();
        let prefetch = limit.saturating_sub(counts.all).min(step);
        (counts.number, counts.current, counts.prefetch) = (counts.number + 1, 0, prefetch);
        prefetch
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Flow;

    #[test]
    fn consumers_take_steps_up_to_the_limit_and_end_only_when_they_are_full() {
        let flow = Flow::default();
        let hold = |count: usize| (0..count).map(|_| flow.hold()).collect::<Vec<_>>();
        assert!(flow.wants_more(5));
        assert_eq!(flow.renew(5, 2), 2);
        let first = hold(1);
        assert!(!flow.wants_more(5), "one more may be on its way");
        let second = hold(1);
        assert!(flow.wants_more(5) && !flow.wants_more(2));
        assert_eq!(flow.renew(3, 2), 1, "no more than the limit leaves");
        drop(first);
        assert!(!flow.wants_more(3), "the current consumer has room yet");
        let third = hold(1);
        assert!(flow.wants_more(3) && !flow.wants_more(2));
        drop((second, third));
        assert!(!flow.wants_more(3));
    }
}
