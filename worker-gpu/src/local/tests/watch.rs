//! A runner that remembers what it computed after which tokens.

use crate::{
    candle::CpuRunner,
    local::{Batch, Chosen, Runner, RunnerError},
    schedule::{BLOCK, BlockId},
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
};

/// What runners of the same model have computed.
#[derive(Default)]
pub struct Seen {
    /// The logits' bits after some tokens, both as hashes.
    logits: HashMap<u64, u64>,
    /// Lengths of the token sequences after which logits were not always the same.
    pub differences: Vec<usize>,
    /// Logits that were computed before, in other circumstances.
    pub compared: usize,
    /// Batches of several sequences.
    pub shared: usize,
    /// Parts of prompts that are not the last.
    pub chunks: usize,
}

/// Computes, and compares all logits with those that any runner has computed after the same tokens.
pub struct Watched {
    pub runner: CpuRunner,
    pub seen: Arc<Mutex<Seen>>,
    /// The token whose key and value each slot of a block holds.
    slots: HashMap<(BlockId, usize), u32>,
}

impl Watched {
    pub fn new(runner: CpuRunner, seen: Arc<Mutex<Seen>>) -> Self {
        Self { runner, seen, slots: HashMap::new() }
    }

    /// Whose keys and values the rows of `batch` see, row by row.
    fn histories(&mut self, batch: &Batch<'_>) -> Vec<Vec<u32>> {
        let at = |blocks: &[BlockId], position: usize| (blocks[position / BLOCK], position % BLOCK);
        for ((blocks, position), token) in batch.rows().zip(&batch.tokens) {
            self.slots.insert(at(blocks, position), *token);
        }
        let history = |(blocks, last)| (0..=last).map(|position| self.slots[&at(blocks, position)]).collect();
        batch.rows().map(history).collect()
    }
}

impl Runner for Watched {
    fn blocks(&self) -> usize {
        self.runner.blocks()
    }

    fn forward(&mut self, batch: &Batch<'_>) -> Result<Vec<Chosen>, RunnerError> {
        let histories = self.histories(batch);
        let chosen = self.runner.forward(batch)?;
        let mut seen = self.seen.lock().unwrap();
        seen.shared += usize::from(batch.spans.len() > 1);
        seen.chunks += batch.spans.len() - batch.wanted.len();
        for (wanted, chosen) in batch.wanted.iter().zip(&chosen) {
            let Chosen::Logits(logits) = chosen else { panic!("the CPU does not choose") };
            let bits = hash(&logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>());
            let history = &histories[wanted.row as usize];
            if let Some(before) = seen.logits.insert(hash(history), bits) {
                seen.compared += 1;
                if before != bits {
                    seen.differences.push(history.len());
                }
            }
        }
        Ok(chosen)
    }
}

fn hash(value: &[u32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
