//! Which tokens the next step computes. Pure: no model, no clock, no device.

use crate::engine::SequenceId;
use std::collections::VecDeque;

/// What bounds a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Sequences in the batch.
    pub sequences: usize,
    /// Tokens of one step.
    pub batch_tokens: usize,
    /// Sequences that wait for a slot.
    pub waiting: usize,
}

/// The waiting line and the batch.
pub(crate) struct Scheduler {
    limits: Limits,
    waiting: VecDeque<Entry>,
    running: Vec<Entry>,
}

/// A sequence, of which `known` tokens exist and `computed` are in the cache.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: SequenceId,
    known: usize,
    computed: usize,
}

/// Tokens `start .. start + len` of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub id: SequenceId,
    pub start: usize,
    pub len: usize,
    /// It ends with the last known token, so the next one can be sampled.
    pub samples: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// Sequences that leave the waiting line.
    pub started: Vec<SequenceId>,
    /// What is computed: tokens that continue an answer first, then prompts in the order of their arrival.
    pub chunks: Vec<Chunk>,
}

/// Neither the batch nor the waiting line has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        Self { limits, waiting: VecDeque::new(), running: Vec::new() }
    }

    /// Puts a sequence with `prompt` known tokens into the waiting line.
    pub fn add(&mut self, id: SequenceId, prompt: usize) -> Result<(), Full> {
        // Those that the next step starts do not wait.
        if self.running.len() + self.waiting.len() >= self.limits.sequences + self.limits.waiting {
            return Err(Full);
        }
        self.waiting.push_back(Entry { id, known: prompt, computed: 0 });
        Ok(())
    }

    /// Plans the next step; the planned tokens count as computed from here on.
    pub fn schedule(&mut self) -> Plan {
        let started = self.start_waiting();
        let mut budget = self.limits.batch_tokens;
        let mut chunks = Vec::new();
        let (decodes, prompts): (Vec<_>, Vec<_>) = self.running.iter_mut().partition(|entry| entry.left() == 1);
        for entry in decodes.into_iter().chain(prompts) {
            chunks.extend(entry.take(&mut budget));
        }
        Plan { started, chunks }
    }

    /// A token of `id` was sampled.
    pub fn grow(&mut self, id: SequenceId) {
        if let Some(entry) = self.running.iter_mut().find(|entry| entry.id == id) {
            entry.known += 1;
        }
    }

    /// Forgets `id`.
    pub fn remove(&mut self, id: SequenceId) {
        self.waiting.retain(|entry| entry.id != id);
        self.running.retain(|entry| entry.id != id);
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn start_waiting(&mut self) -> Vec<SequenceId> {
        let free = self.limits.sequences.saturating_sub(self.running.len());
        let starting: Vec<Entry> = self.waiting.drain(..free.min(self.waiting.len())).collect();
        self.running.extend(&starting);
        starting.iter().map(|entry| entry.id).collect()
    }
}

impl Entry {
    fn left(&self) -> usize {
        self.known - self.computed
    }

    fn take(&mut self, budget: &mut usize) -> Option<Chunk> {
        let len = self.left().min(*budget);
        let chunk = Chunk { id: self.id, start: self.computed, len, samples: len == self.left() };
        self.computed += len;
        *budget -= len;
        (len > 0).then_some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn id(n: u64) -> SequenceId {
        SequenceId(n)
    }

    fn scheduler(sequences: usize, batch_tokens: usize) -> Scheduler {
        Scheduler::new(Limits { sequences, batch_tokens, waiting: 64 })
    }

    #[test]
    fn decodes_go_before_prompts_and_prompts_are_cut_into_chunks() {
        let mut scheduler = scheduler(4, 8);
        scheduler.add(id(1), 3).unwrap();
        assert!(scheduler.schedule().chunks[0].samples);
        scheduler.grow(id(1));
        scheduler.add(id(2), 20).unwrap();
        let plan = scheduler.schedule();
        let decode = Chunk { id: id(1), start: 3, len: 1, samples: true };
        let prompt = Chunk { id: id(2), start: 0, len: 7, samples: false };
        assert_eq!(plan, Plan { started: vec![id(2)], chunks: vec![decode, prompt] });
    }

    #[test]
    fn the_waiting_line_is_bounded_and_first_come_first_served() {
        let mut scheduler = Scheduler::new(Limits { sequences: 1, batch_tokens: 8, waiting: 2 });
        scheduler.add(id(1), 1).unwrap();
        scheduler.add(id(2), 1).unwrap();
        scheduler.add(id(3), 1).unwrap();
        assert_eq!(scheduler.add(id(4), 1), Err(Full));
        assert_eq!(scheduler.schedule().started, [id(1)]);
        assert_eq!(scheduler.add(id(4), 1), Err(Full));
        scheduler.remove(id(1));
        assert_eq!(scheduler.schedule().started, [id(2)]);
    }

    proptest! {
        /// Whatever comes and goes: a step never exceeds its bounds, computes every token once and in order, and a
        /// sequence whose tokens are all computed gets its next one.
        #[test]
        fn every_token_is_computed_once_within_the_bounds(
            prompts in prop::collection::vec(1usize..40, 1..12),
            answers in prop::collection::vec(1usize..6, 12),
            sequences in 1usize..5,
            batch_tokens in 5usize..16,
        ) {
            let mut scheduler = scheduler(sequences, batch_tokens);
            let mut left = BTreeMap::new();
            for (n, prompt) in prompts.iter().enumerate() {
                scheduler.add(id(n as u64), *prompt).unwrap();
                left.insert(id(n as u64), (0, *prompt, answers[n]));
            }
            for _ in 0..2_000 {
                let plan = scheduler.schedule();
                prop_assert!(scheduler.running() <= sequences);
                prop_assert!(plan.chunks.iter().map(|chunk| chunk.len).sum::<usize>() <= batch_tokens);
                prop_assert!(left.is_empty() || !plan.chunks.is_empty());
                for chunk in plan.chunks {
                    let (computed, known, answer) = left.get_mut(&chunk.id).unwrap();
                    prop_assert_eq!(chunk.start, *computed);
                    *computed += chunk.len;
                    prop_assert_eq!(chunk.samples, computed == known);
                    if chunk.samples {
                        *known += 1;
                        *answer -= 1;
                        scheduler.grow(chunk.id);
                        if *answer == 0 {
                            scheduler.remove(chunk.id);
                            left.remove(&chunk.id);
                        }
                    }
                }
            }
            prop_assert!(left.is_empty());
            prop_assert_eq!((scheduler.running(), scheduler.waiting()), (0, 0));
        }
    }
}
