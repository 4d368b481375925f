//! Keys and values of all layers, in blocks.

use super::{
    device::{Buffer, Device, DeviceError},
    kernels::{Cache, Heads},
};
use half::bf16;
use std::sync::Arc;

/// `[layers][blocks][kv_heads][BLOCK][dim]` of keys, and the same of values. The last block belongs to no sequence: rows
/// that fill up a batch write there.
pub(crate) struct KvCache {
    keys: Buffer<bf16>,
    values: Buffer<bf16>,
    layer: usize,
    blocks: usize,
}

impl KvCache {
    /// Bytes of a block in all layers.
    pub fn block_bytes(layers: usize, heads: Heads) -> usize {
        2 * layers * heads.block() * size_of::<bf16>()
    }

    /// Room for `blocks` blocks of sequences.
    pub fn new(device: &Arc<dyn Device>, layers: usize, heads: Heads, blocks: usize) -> Result<Self, DeviceError> {
        let layer = (blocks + 1) * heads.block();
        let (keys, values) = (Buffer::new(device, layers * layer)?, Buffer::new(device, layers * layer)?);
        Ok(Self { keys, values, layer, blocks })
    }

    pub fn blocks(&self) -> usize {
        self.blocks
    }

    pub fn layer(&self, number: usize) -> Result<Cache, DeviceError> {
        let first = number * self.layer;
        Ok(Cache { keys: self.keys.part(first, self.layer)?, values: self.values.part(first, self.layer)? })
    }
}
