//! The KV blocks: lent, shared by those who hold the same beginning, and kept for later ones until their room is needed.

use super::prefix::BlockHash;
use std::collections::{BTreeMap, HashMap};

/// Tokens of a KV block.
pub(crate) const BLOCK: usize = 32;
/// Number of a block in the runner's cache.
pub(crate) type BlockId = u32;

/// Who holds which block, and what the blocks hold.
pub(crate) struct Blocks {
    blocks: Vec<Block>,
    /// Blocks that hold nothing of use. The lowest are lent first, and the last returned again, so that little memory is
    /// touched.
    free: Vec<BlockId>,
    /// Blocks by what they hold.
    known: HashMap<BlockHash, BlockId>,
    /// Known blocks that nobody holds, the longest unused first.
    idle: BTreeMap<u64, BlockId>,
    clock: u64,
}

#[derive(Default, Clone)]
struct Block {
    holders: u32,
    hash: Option<BlockHash>,
    /// Key in `idle`.
    since: u64,
}

impl Blocks {
    pub fn new(blocks: usize) -> Self {
        Self {
            blocks: vec![Block::default(); blocks],
            free: (0..blocks as BlockId).rev().collect(),
            known: HashMap::new(),
            idle: BTreeMap::new(),
            clock: 0,
        }
    }

    /// All there are.
    pub fn total(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks that can be lent.
    pub fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// The known blocks with which `chain` begins, and how many of them nobody holds.
    pub fn find(&self, chain: &[BlockHash]) -> (Vec<BlockId>, usize) {
        let found: Vec<BlockId> = chain.iter().map_while(|hash| self.known.get(hash).copied()).collect();
        let idle = found.iter().filter(|block| self.blocks[**block as usize].holders == 0).count();
        (found, idle)
    }

    /// One more holds a block that [`find`](Self::find) has found.
    pub fn share(&mut self, block: BlockId) {
        let entry = &mut self.blocks[block as usize];
        if entry.holders == 0 {
            self.idle.remove(&entry.since);
        }
        entry.holders += 1;
    }

    /// A block for one holder, with anything in it; `None` when all are held.
    pub fn take(&mut self) -> Option<BlockId> {
        let block = self.free.pop().or_else(|| self.forget_oldest())?;
        self.blocks[block as usize].holders = 1;
        Some(block)
    }

    /// A held block now holds what `hash` says, and will not change any more.
    pub fn publish(&mut self, block: BlockId, hash: BlockHash) {
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.known.entry(hash) {
            vacant.insert(block);
            self.blocks[block as usize].hash = Some(hash);
        }
    }

    /// A holder gives its blocks back, in the sequence's order.
    pub fn release(&mut self, blocks: impl DoubleEndedIterator<Item = BlockId>) {
        // A sequence's end is of less use to others than its beginning, so it is forgotten first.
        for block in blocks.rev() {
            let entry = &mut self.blocks[block as usize];
            entry.holders -= 1;
            if entry.holders > 0 {
                continue;
            }
            if entry.hash.is_some() {
                self.clock += 1;
                entry.since = self.clock;
                self.idle.insert(self.clock, block);
            } else {
                self.free.push(block);
            }
        }
    }

    fn forget_oldest(&mut self) -> Option<BlockId> {
        let (_, block) = self.idle.pop_first()?;
        if let Some(hash) = self.blocks[block as usize].hash.take() {
            self.known.remove(&hash);
        }
        Some(block)
    }

    /// How many hold a block.
    #[cfg(test)]
    pub fn holders(&self, block: BlockId) -> u32 {
        self.blocks[block as usize].holders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::TenantId;

    fn chain(tenant: &str, tokens: &[u32]) -> Vec<BlockHash> {
        let root = BlockHash::root(&TenantId::parse(tenant).unwrap());
        let next = |before: &mut BlockHash, tokens: &[u32]| {
            *before = before.next(tokens);
            Some(*before)
        };
        tokens.chunks_exact(BLOCK).scan(root, next).collect()
    }

    #[test]
    fn a_beginning_is_found_again_by_its_tenant_only() {
        let tokens: Vec<u32> = (0..3 * BLOCK as u32).collect();
        let mut blocks = Blocks::new(4);
        let own: Vec<BlockId> = (0..3).map(|_| blocks.take().unwrap()).collect();
        own.iter().zip(chain("a", &tokens)).for_each(|(block, hash)| blocks.publish(*block, hash));
        assert_eq!(blocks.find(&chain("a", &tokens)), (own.clone(), 0));
        assert_eq!(blocks.find(&chain("b", &tokens)), (vec![], 0));
        let mut other = tokens.clone();
        other[BLOCK] += 1;
        assert_eq!(blocks.find(&chain("a", &other)).0, own[..1]);
        blocks.release(own.iter().copied());
        assert_eq!((blocks.available(), blocks.find(&chain("a", &tokens))), (4, (own, 3)));
    }

    #[test]
    fn what_is_unused_for_longest_makes_room_and_a_sequences_end_before_its_beginning() {
        let tokens: Vec<u32> = (0..2 * BLOCK as u32).collect();
        let mut blocks = Blocks::new(3);
        let own = [blocks.take().unwrap(), blocks.take().unwrap()];
        own.iter().zip(chain("a", &tokens)).for_each(|(block, hash)| blocks.publish(*block, hash));
        blocks.release(own.into_iter());
        blocks.take().unwrap();
        assert_eq!(blocks.take(), Some(own[1]));
        assert_eq!(blocks.find(&chain("a", &tokens)).0, own[..1]);
        blocks.share(own[0]);
        assert_eq!((blocks.take(), blocks.holders(own[0])), (None, 1));
    }
}
