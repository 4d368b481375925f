//! One sequence as the scheduler sees it.

use super::{BLOCK, BlockId, Chunk, blocks::Blocks, prefix::BlockHash, waiting::Claim};
use crate::engine::SequenceId;

/// Tokens, of which the first `computed` are in the cache.
pub(super) struct Sequence {
    pub claim: Claim,
    pub tokens: Vec<u32>,
    /// Where keys and values are, or will be.
    pub blocks: Vec<BlockId>,
    /// It has left the waiting line before.
    pub started: bool,
    computed: usize,
    /// Blocks that others may share.
    published: usize,
    /// Of the full blocks, as far as they were asked for.
    hashes: Vec<BlockHash>,
}

impl Sequence {
    pub fn new(claim: Claim, tokens: Vec<u32>) -> Self {
        Self { claim, tokens, blocks: Vec::new(), started: false, computed: 0, published: 0, hashes: Vec::new() }
    }

    /// Tokens that are not in the cache.
    pub fn left(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// The full blocks before the last token, which has to be computed in any case.
    pub fn chain(&mut self) -> &[BlockHash] {
        let full = self.tokens.len().saturating_sub(1) / BLOCK;
        self.hash(full);
        &self.hashes[..full]
    }

    /// Begins behind blocks that are known already, and takes the others.
    pub fn start(&mut self, shared: Vec<BlockId>, blocks: &mut Blocks) {
        shared.iter().for_each(|block| blocks.share(*block));
        (self.computed, self.published) = (shared.len() * BLOCK, shared.len());
        self.blocks = shared;
        self.make_room(blocks);
    }

    /// Takes blocks for all tokens; false when there are too few.
    pub fn make_room(&mut self, blocks: &mut Blocks) -> bool {
        while self.blocks.len() * BLOCK < self.tokens.len() {
            match blocks.take() {
                Some(block) => self.blocks.push(block),
                None => return false,
            }
        }
        true
    }

    /// The next tokens within `budget`; they count as computed.
    pub fn take(&mut self, id: SequenceId, budget: &mut usize, blocks: &mut Blocks) -> Option<Chunk> {
        let len = self.left().min(*budget);
        let chunk = Chunk { id, start: self.computed, len, samples: len == self.left() };
        self.computed += len;
        *budget -= len;
        self.publish(blocks);
        (len > 0).then_some(chunk)
    }

    /// Gives all blocks back.
    pub fn release(&mut self, blocks: &mut Blocks) {
        blocks.release(self.blocks.drain(..));
        (self.computed, self.published) = (0, 0);
    }

    /// Lets others share the blocks that are full now. Those of the same step may: in every layer a runner stores all
    /// keys and values before it attends.
    fn publish(&mut self, blocks: &mut Blocks) {
        let full = self.computed / BLOCK;
        self.hash(full);
        for at in self.published..full {
            blocks.publish(self.blocks[at], self.hashes[at]);
        }
        self.published = self.published.max(full);
    }

    fn hash(&mut self, full: usize) {
        while self.hashes.len() < full {
            let at = self.hashes.len();
            let before = self.hashes.last().copied().unwrap_or_else(|| BlockHash::root(&self.claim.tenant));
            self.hashes.push(before.next(&self.tokens[at * BLOCK..][..BLOCK]));
        }
    }
}
