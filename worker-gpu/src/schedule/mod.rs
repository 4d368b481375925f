//! Which tokens the next step computes, and where their keys and values go. Pure: no model, no clock, no device.
//!
//! A sequence starts when there are KV blocks for all that is known of it. Blocks that hold its tenant's same beginning
//! are shared instead of computed again. When an answer grows and no block is free, the least urgent sequence, of these
//! the one started last, gives all of its blocks back and is computed again later, mostly from blocks that nobody has
//! needed meanwhile.

mod blocks;
mod prefix;
mod sequence;
mod waiting;

#[cfg(test)]
mod tests;

pub(crate) use blocks::{BLOCK, BlockId};
pub(crate) use waiting::Claim;

use crate::engine::SequenceId;
use blocks::Blocks;
use sequence::Sequence;
use std::collections::HashMap;
use waiting::Waiting;

/// What a generated token costs a tenant, in tokens of a prompt.
const ANSWER_COST: usize = 2;

/// What bounds a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Sequences in the batch.
    pub sequences: usize,
    /// Tokens of one step; at least `sequences`.
    pub batch_tokens: usize,
    /// Sequences that wait for a slot.
    pub waiting: usize,
    /// KV blocks.
    pub blocks: usize,
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
    /// Sequences that leave the waiting line for the first time.
    pub started: Vec<SequenceId>,
    /// What is computed: tokens that continue an answer first, then prompts.
    pub chunks: Vec<Chunk>,
}

/// The waiting line has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// What a scheduler has done since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Tokens of the prompts that were started.
    pub prompt_tokens: u64,
    /// Those of them that were in shared blocks.
    pub prefix_tokens: u64,
    /// Sequences that had to give their blocks back.
    pub preemptions: u64,
}

/// The waiting line, the batch, and the blocks.
pub(crate) struct Scheduler {
    limits: Limits,
    sequences: HashMap<SequenceId, Sequence>,
    waiting: Waiting,
    /// In the order of their start.
    running: Vec<SequenceId>,
    blocks: Blocks,
    counts: Counts,
}

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sequences: HashMap::new(),
            waiting: Waiting::default(),
            running: Vec::new(),
            blocks: Blocks::new(limits.blocks),
            counts: Counts::default(),
        }
    }

    /// Puts a sequence that begins with the tokens of `prompt` into the waiting line. All that it can grow to must fit
    /// into the blocks.
    pub fn add(&mut self, id: SequenceId, claim: Claim, prompt: Vec<u32>) -> Result<(), Full> {
        // Those that the next step starts do not wait.
        if self.sequences.len() >= self.limits.sequences + self.limits.waiting {
            return Err(Full);
        }
        self.waiting.push(id, &claim);
        self.sequences.insert(id, Sequence::new(claim, prompt));
        Ok(())
    }

    /// Plans the next step; the planned tokens count as computed from here on.
    pub fn schedule(&mut self) -> Plan {
        let mut plan = Plan::default();
        let mut budget = self.limits.batch_tokens;
        let preempted = self.make_room();
        for wants_one in [true, false] {
            for id in &self.running {
                let Some(sequence) = self.sequences.get_mut(id) else { continue };
                if (sequence.left() == 1) == wants_one && sequence.left() > 0 {
                    plan.chunks.extend(sequence.take(*id, &mut budget, &mut self.blocks));
                }
            }
        }
        while !preempted && budget > 0 && self.running.len() < self.limits.sequences {
            let Some(id) = self.start_next(&mut plan.started) else { break };
            let Some(sequence) = self.sequences.get_mut(&id) else { break };
            plan.chunks.extend(sequence.take(id, &mut budget, &mut self.blocks));
        }
        plan
    }

    /// `token` was sampled after all that is known of `id`.
    pub fn grow(&mut self, id: SequenceId, token: u32) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.tokens.push(token);
            self.waiting.charge(&sequence.claim, ANSWER_COST);
        }
    }

    /// Forgets `id`; its blocks are free at once.
    pub fn remove(&mut self, id: SequenceId) {
        let Some(mut sequence) = self.sequences.remove(&id) else { return };
        self.waiting.remove(id, &sequence.claim);
        self.running.retain(|other| *other != id);
        sequence.release(&mut self.blocks);
        self.waiting.settle();
    }

    /// A sequence's tokens and blocks.
    pub fn get(&self, id: SequenceId) -> Option<(&[u32], &[BlockId])> {
        self.sequences.get(&id).map(|sequence| (sequence.tokens.as_slice(), sequence.blocks.as_slice()))
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Blocks that sequences hold.
    pub fn blocks_held(&self) -> usize {
        self.blocks.total() - self.blocks.available()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Gives every running sequence the blocks for its next token, the most urgent and longest running first; true when
    /// another one had to give way.
    fn make_room(&mut self) -> bool {
        let mut order = self.running.clone();
        order.sort_by_key(|id| self.sequences.get(id).map(|sequence| sequence.claim.priority));
        let before = order.len();
        let mut kept = 0;
        while kept < order.len() {
            let room = self.sequences.get_mut(&order[kept]).is_none_or(|own| own.make_room(&mut self.blocks));
            if room {
                kept += 1;
            } else if let Some(victim) = order.pop() {
                self.preempt(victim);
            }
        }
        order.len() < before
    }

    /// Starts the next one that waits if there are blocks for it.
    fn start_next(&mut self, started: &mut Vec<SequenceId>) -> Option<SequenceId> {
        let id = self.waiting.next()?;
        let sequence = self.sequences.get_mut(&id)?;
        let (found, idle) = self.blocks.find(sequence.chain());
        let missing = sequence.tokens.len().div_ceil(BLOCK) - found.len();
        // The others will soon want one more each.
        if missing + idle + self.running.len() > self.blocks.available() {
            return None;
        }
        let shared = found.len() * BLOCK;
        sequence.start(found, &mut self.blocks);
        if !std::mem::replace(&mut sequence.started, true) {
            started.push(id);
            let prompt = sequence.tokens.len();
            self.counts.prompt_tokens += prompt as u64;
            self.counts.prefix_tokens += shared as u64;
            let claim = sequence.claim.clone();
            self.waiting.start_next();
            self.waiting.charge(&claim, prompt - shared);
        } else {
            self.waiting.start_next();
        }
        self.running.push(id);
        Some(id)
    }

    fn preempt(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        sequence.release(&mut self.blocks);
        self.waiting.push_front(id, &sequence.claim);
        self.running.retain(|other| *other != id);
        self.counts.preemptions += 1;
    }
}
