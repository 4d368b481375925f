//! Which ingest job may start: one at a time per tenant, in order, and only so many tenants at once.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Jobs that wait or run, by lane. The caller bounds how many it adds.
#[derive(Debug)]
pub struct Lanes<K, J> {
    lanes: HashMap<K, VecDeque<J>>,
    /// Lanes with a waiting job and none running; the longest waiting first.
    ready: VecDeque<K>,
    running: usize,
    most: usize,
}

impl<K: Hash + Eq + Clone, J> Lanes<K, J> {
    /// At most `most` lanes run at once.
    pub fn new(most: usize) -> Self {
        Self { lanes: HashMap::new(), ready: VecDeque::new(), running: 0, most }
    }

    /// Adds a job to the end of its lane.
    pub fn add(&mut self, lane: K, job: J) {
        let jobs = self.lanes.entry(lane.clone()).or_insert_with(|| {
            self.ready.push_back(lane);
            VecDeque::new()
        });
        jobs.push_back(job);
    }

    /// The next job to start, whose lane then runs until [`Lanes::done`].
    pub fn start(&mut self) -> Option<J> {
        if self.running == self.most {
            return None;
        }
        let lane = self.ready.pop_front()?;
        self.running += 1;
        self.lanes.get_mut(&lane)?.pop_front()
    }

    /// The running job of `lane` has ended.
    pub fn done(&mut self, lane: K) {
        self.running = self.running.saturating_sub(1);
        if self.lanes.get(&lane).is_some_and(VecDeque::is_empty) {
            self.lanes.remove(&lane);
        } else if self.lanes.contains_key(&lane) {
            self.ready.push_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_runs_one_job_and_others_pass_it() {
        let mut lanes = Lanes::new(2);
        for (lane, job) in [("a", 1), ("a", 2), ("b", 3), ("c", 4)] {
            lanes.add(lane, job);
        }
        assert_eq!([lanes.start(), lanes.start(), lanes.start()], [Some(1), Some(3), None]);
        lanes.done("a");
        assert_eq!([lanes.start(), lanes.start()], [Some(4), None]);
        lanes.done("b");
        lanes.done("c");
        assert_eq!([lanes.start(), lanes.start()], [Some(2), None]);
        lanes.done("a");
        assert!(lanes.lanes.is_empty() && lanes.running == 0);
    }
}
