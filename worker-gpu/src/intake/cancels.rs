//! Which jobs nobody awaits any more.

use protocol::{Cancel, JobId};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Cancelled jobs that are remembered, for those that were cancelled before they came.
const REMEMBERED: usize = 1024;

/// The running jobs and the recently cancelled ones.
#[derive(Default)]
pub(super) struct Cancels(Mutex<State>);

#[derive(Default)]
struct State {
    running: HashMap<JobId, Tokens>,
    recent: VecDeque<JobId>,
    /// Deliveries that were registered so far.
    entered: u64,
}

/// What may befall a running job from outside.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    /// Nobody awaits it.
    pub cancelled: CancellationToken,
    /// A later delivery of it has come, so the broker expects nothing of this one.
    pub superseded: CancellationToken,
    /// Which delivery; copies of a job have the same attempt.
    entry: u64,
}

/// A running job; dropping it forgets the job.
pub(super) struct Ticket<'a> {
    cancels: &'a Cancels,
    job: JobId,
    pub tokens: Tokens,
}

impl Cancels {
    /// Applies a broadcast; a malformed one is ignored.
    pub fn broadcast(&self, body: &[u8]) {
        match serde_json::from_slice::<Cancel>(body) {
            Ok(Cancel { job }) => self.cancel(job),
            Err(error) => {
                tracing::warn!(kind = ?error.classify(), column = error.column(), "a cancel message cannot be read");
            }
        }
    }

    fn cancel(&self, job: JobId) {
        let mut state = self.state();
        if let Some(tokens) = state.running.get(&job) {
            tokens.cancelled.cancel();
        }
        if state.recent.len() == REMEMBERED {
            state.recent.pop_front();
        }
        state.recent.push_back(job);
    }

    /// Registers a job. An earlier delivery of it that still runs here is stale, so its work stops.
    pub fn enter(&self, job: JobId) -> Ticket<'_> {
        let mut state = self.state();
        state.entered += 1;
        let (cancelled, superseded) = (CancellationToken::new(), CancellationToken::new());
        let tokens = Tokens { cancelled, superseded, entry: state.entered };
        if state.recent.contains(&job) {
            tokens.cancelled.cancel();
        }
        if let Some(stale) = state.running.insert(job.clone(), tokens.clone()) {
            stale.superseded.cancel();
        }
        Ticket { cancels: self, job, tokens }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.cancels.state();
        if state.running.get(&self.job).is_some_and(|tokens| tokens.entry == self.tokens.entry) {
            state.running.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> JobId {
        JobId::parse(name).unwrap()
    }

    #[test]
    fn a_cancel_reaches_running_and_later_jobs() {
        let cancels = Cancels::default();
        let running = cancels.enter(job("a"));
        cancels.broadcast(br#"{"job":"a"}"#);
        cancels.broadcast(br#"{"job":"later"}"#);
        cancels.broadcast(b"nonsense");
        assert!(running.tokens.cancelled.is_cancelled());
        assert!(cancels.enter(job("later")).tokens.cancelled.is_cancelled());
        assert!(!cancels.enter(job("other")).tokens.cancelled.is_cancelled());
    }

    #[test]
    fn a_later_delivery_stops_the_earlier_one_and_outlives_it() {
        let cancels = Cancels::default();
        let first = cancels.enter(job("a"));
        let second = cancels.enter(job("a"));
        assert!(first.tokens.superseded.is_cancelled() && !first.tokens.cancelled.is_cancelled());
        drop(first);
        cancels.broadcast(br#"{"job":"a"}"#);
        assert!(second.tokens.cancelled.is_cancelled() && !second.tokens.superseded.is_cancelled());
    }

    #[test]
    fn of_two_copies_of_a_job_the_first_one_s_end_leaves_the_second_registered() {
        let cancels = Cancels::default();
        let (first, second) = (cancels.enter(job("a")), cancels.enter(job("a")));
        drop(first);
        cancels.broadcast(br#"{"job":"a"}"#);
        assert!(second.tokens.cancelled.is_cancelled());
    }

    #[test]
    fn memory_of_cancelled_jobs_is_bounded() {
        let cancels = Cancels::default();
        (0..3 * REMEMBERED).for_each(|n| cancels.cancel(job(&format!("j{n}"))));
        assert_eq!(cancels.state().recent.len(), REMEMBERED);
    }
}
