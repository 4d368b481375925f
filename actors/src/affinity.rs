//! Which worker a turn should go to: the one that has the conversation so far in the cache.

mod requests;

use crate::{ask::Ask, state::Served};
use protocol::{TenantId, Timestamp, WorkerId};
use requests::Requests;
use runtime::metric;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A worker that did not take a job soon is not asked for this long: it is busy or dead, and to wait for it again would be
/// in vain.
const PAUSE_MS: u64 = 10_000;
/// Such workers that are remembered.
const REMEMBERED: usize = 1024;

/// How it went to send a job to one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// That worker took it.
    Hit,
    /// Another one did.
    Spill,
    /// The worker takes no jobs any more.
    Gone,
}

/// This node's view of the workers.
#[derive(Default)]
pub(crate) struct Affinity {
    /// Until when they are not asked.
    paused: Mutex<HashMap<WorkerId, Timestamp>>,
    requests: Mutex<Requests>,
}

impl Affinity {
    /// Who answered what `ask` goes on from. A session keeps that itself, in `kept`.
    pub fn last_served(&self, tenant: &TenantId, ask: &Ask, kept: Option<&Served>) -> Option<Served> {
        match ask {
            Ask::Message(_) => kept.cloned(),
            Ask::Completion(completion) => self.requests().continued(tenant, &completion.messages),
        }
    }

    /// `ask` is answered, as `served` tells.
    pub fn served(&self, tenant: &TenantId, ask: &Ask, served: Served) {
        if let Ask::Completion(completion) = ask {
            self.requests().remember(tenant, &completion.messages, served);
        }
    }

    /// Who should answer a session that was last `served`, at most `age_ms` ago (0: nobody in particular).
    pub fn choose(&self, served: Option<&Served>, now: Timestamp, age_ms: u64) -> Option<WorkerId> {
        let served = served.filter(|served| age_ms > 0 && served.is_recent(now, age_ms))?;
        let is_paused = self.paused().get(&served.by).is_some_and(|until| now < *until);
        (!is_paused).then(|| served.by.clone())
    }

    /// Counts a job that was sent to `worker`, and learns from it.
    pub fn note(&self, worker: &WorkerId, outcome: Outcome, now: Timestamp) {
        let name = match outcome {
            Outcome::Hit => "hit",
            Outcome::Spill => "spill",
            Outcome::Gone => "gone",
        };
        metrics::counter!(metric::AFFINITY, "result" => name).increment(1);
        let mut paused = self.paused();
        if outcome == Outcome::Hit {
            paused.remove(worker);
            return;
        }
        if paused.len() >= REMEMBERED {
            paused.retain(|_, until| now < *until);
        }
        if paused.len() < REMEMBERED {
            paused.insert(worker.clone(), now.after_ms(PAUSE_MS));
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paused(&self) -> MutexGuard<'_, HashMap<WorkerId, Timestamp>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> WorkerId {
        WorkerId::parse(name).unwrap()
    }

    #[test]
    fn a_worker_is_asked_again_after_a_pause_and_for_a_limited_time() {
        let affinity = Affinity::default();
        let served = Served { by: worker("w"), at: Timestamp(1_000_000) };
        let choose = |now| affinity.choose(Some(&served), Timestamp(now), 60_000);
        assert_eq!(choose(1_001_000), Some(worker("w")));
        assert_eq!(choose(1_061_000), None);
        assert_eq!(affinity.choose(Some(&served), Timestamp(1_000_000), 0), None);
        affinity.note(&worker("w"), Outcome::Spill, Timestamp(1_001_000));
        assert_eq!(choose(1_010_999), None);
        assert_eq!(choose(1_011_000), Some(worker("w")));
        affinity.note(&worker("w"), Outcome::Gone, Timestamp(1_011_000));
        affinity.note(&worker("w"), Outcome::Hit, Timestamp(1_011_500));
        assert_eq!(choose(1_012_000), Some(worker("w")));
    }

    #[test]
    fn few_workers_are_remembered() {
        let affinity = Affinity::default();
        (0..3 * REMEMBERED).for_each(|n| affinity.note(&worker(&format!("w{n}")), Outcome::Spill, Timestamp(n as u64)));
        assert_eq!(affinity.paused().len(), REMEMBERED);
        affinity.note(&worker("late"), Outcome::Spill, Timestamp(1_000_000));
        assert_eq!(affinity.paused().len(), 1);
    }
}
