//! Where keys and values lie: fixed blocks of tokens, which the scheduler lends to sequences.
//!
//! A block holds [`BLOCK`] tokens of every layer. Within it each KV head has its keys transposed, `[head_dim][BLOCK]`,
//! so that scores of neighbouring tokens are computed in one vector, and its values as they come, `[BLOCK][head_dim]`.

use crate::schedule::{BLOCK, BlockId};

/// Keys and values of all sequences, in 32-bit floats. Memory is taken from the system as blocks are first written.
pub(crate) struct KvCache {
    heads: usize,
    head_dim: usize,
    layers: Vec<Layer>,
    blocks: usize,
}

struct Layer {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// A cache of `blocks` blocks.
    pub fn new(layers: usize, heads: usize, head_dim: usize, blocks: usize) -> Self {
        let floats = blocks * heads * head_dim * BLOCK;
        let layer = || Layer { keys: vec![0.0; floats], values: vec![0.0; floats] };
        Self { heads, head_dim, layers: (0..layers).map(|_| layer()).collect(), blocks }
    }

    /// Blocks that there are.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Stores the key and the value (`head_dim` floats each) of one head of the token at `position`.
    pub fn write(
        &mut self,
        layer: usize,
        blocks: &[BlockId],
        position: usize,
        head: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let (start, at) = (self.start(blocks, position / BLOCK, head), position % BLOCK);
        let (head_dim, layer) = (self.head_dim, &mut self.layers[layer]);
        let keys = &mut layer.keys[start..start + head_dim * BLOCK];
        keys.iter_mut().skip(at).step_by(BLOCK).zip(key).for_each(|(to, from)| *to = *from);
        layer.values[start + at * head_dim..][..head_dim].copy_from_slice(value);
    }

    /// Keys and values of one head in the sequence's block number `block`; both of `head_dim * BLOCK` floats.
    pub fn block(&self, layer: usize, blocks: &[BlockId], block: usize, head: usize) -> (&[f32], &[f32]) {
        let start = self.start(blocks, block, head);
        let range = start..start + self.head_dim * BLOCK;
        (&self.layers[layer].keys[range.clone()], &self.layers[layer].values[range])
    }

    fn start(&self, blocks: &[BlockId], block: usize, head: usize) -> usize {
        (blocks[block] as usize * self.heads + head) * self.head_dim * BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_neighbours_stay_untouched() {
        let mut cache = KvCache::new(2, 2, 4, 4);
        let (one, two) = ([2, 0], [1, 3]);
        let token = |n: f32| (vec![n; 4], vec![-n; 4]);
        for position in 0..40 {
            let (key, value) = token(position as f32);
            cache.write(1, &one, position, 1, &key, &value);
        }
        let (key, value) = token(99.0);
        cache.write(1, &two, 32, 1, &key, &value);
        let (keys, values) = cache.block(1, &one, 1, 1);
        assert_eq!((keys[5], keys[3 * BLOCK + 7], values[7 * 4]), (37.0, 39.0, -39.0));
        assert_eq!(cache.block(1, &two, 1, 1).0[0], 99.0);
        assert!(cache.block(0, &one, 0, 1).0.iter().all(|key| *key == 0.0));
    }
}
