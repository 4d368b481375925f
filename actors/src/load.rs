//! How much this node carries: session actors and turns, counted and bounded.

use runtime::metric;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The node's counters.
pub(crate) struct Load {
    sessions: watch::Sender<usize>,
    turns: watch::Sender<usize>,
    max_sessions: usize,
    draining: AtomicBool,
}

impl Load {
    pub fn new(max_sessions: usize) -> Arc<Self> {
        let (sessions, turns) = (watch::Sender::new(0), watch::Sender::new(0));
        Arc::new(Self { sessions, turns, max_sessions, draining: AtomicBool::new(false) })
    }

    /// Room for one more session actor; `None`: the node is full.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        let fits = |count: &mut usize| {
            let fits = *count < self.max_sessions;
            *count += usize::from(fits);
            fits
        };
        self.sessions.send_if_modified(fits).then(|| {
            metrics::gauge!(metric::SESSIONS_ACTIVE).increment(1.0);
            Seat(self.clone())
        })
    }

    /// Counts a turn from its acceptance to its end.
    pub fn turn(self: &Arc<Self>) -> Accepted {
        self.turns.send_modify(|count| *count += 1);
        Accepted(self.clone())
    }

    pub fn is_full(&self) -> bool {
        *self.sessions.borrow() >= self.max_sessions
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on no turn is accepted.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether all turns ended within `patience`.
    pub async fn turns_ended(&self, patience: Duration) -> bool {
        reaches_zero(&self.turns, patience).await
    }

    /// Whether all session actors left within `patience`.
    pub async fn sessions_left(&self, patience: Duration) -> bool {
        reaches_zero(&self.sessions, patience).await
    }
}

async fn reaches_zero(count: &watch::Sender<usize>, patience: Duration) -> bool {
    let mut count = count.subscribe();
    tokio::time::timeout(patience, count.wait_for(|count| *count == 0)).await.is_ok()
}

/// One session actor's place on the node.
pub(crate) struct Seat(Arc<Load>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.sessions.send_modify(|count| *count -= 1);
        metrics::gauge!(metric::SESSIONS_ACTIVE).decrement(1.0);
    }
}

/// One accepted turn.
pub(crate) struct Accepted(Arc<Load>);

impl Drop for Accepted {
    fn drop(&mut self) {
        self.0.turns.send_modify(|count| *count -= 1);
    }
}
