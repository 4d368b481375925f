//! Memory for what a step computes, taken once.

use super::{
    device::{Buffer, Device, DeviceError},
    inputs::Counts,
    kernels::{PREFILL_TILE, Partial},
    model::{Model, Sizes},
};
use half::bf16;
use std::sync::Arc;

/// Parts into which a context is cut at most.
const MAX_SPLITS: usize = 32;
/// Blocks of threads that keep a multiprocessor busy.
const BUSY: usize = 2;

/// What a step may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Tokens of a step.
    pub rows: usize,
    /// Sequences of a step.
    pub sequences: usize,
    /// KV blocks of a sequence.
    pub blocks: usize,
}

/// Buffers of one step; the next one overwrites them.
pub(crate) struct Space {
    pub residual: Buffer<f32>,
    pub normed: Buffer<bf16>,
    pub qkv: Buffer<bf16>,
    pub attended: Buffer<bf16>,
    pub delta: Buffer<bf16>,
    pub joined: Buffer<bf16>,
    pub gated: Buffer<bf16>,
    pub logits: Buffer<f32>,
    pub tokens: Buffer<i32>,
    pub partial: Buffer<f32>,
    pub partial_soft: Buffer<f32>,
    pub scratch: Buffer<bf16>,
    pub inputs: Buffer<i32>,
}

impl Space {
    pub fn new(device: &Arc<dyn Device>, model: &Model, limits: Limits) -> Result<Self, DeviceError> {
        let Sizes { hidden, inner, heads, vocabulary, .. } = model.sizes;
        let Limits { rows, sequences, .. } = limits;
        let scratch = model.layers.iter().map(super::model::Layer::scratch).max().unwrap_or(0);
        let parts = |sequences| match splits(device.processors(), sequences, heads.kv_heads, MAX_SPLITS) {
            1 => 0,
            splits => sequences * splits,
        };
        let parts = (1..=sequences).map(parts).max().unwrap_or(0);
        let (partial, partial_soft) = Partial::sizes(heads, parts);
        let halves = |len| Buffer::<bf16>::new(device, len);
        Ok(Self {
            residual: Buffer::new(device, rows * hidden)?,
            normed: halves(rows.max(sequences) * hidden)?,
            qkv: halves(rows * heads.row())?,
            attended: halves(rows * heads.query_row())?,
            delta: halves(rows * hidden)?,
            joined: halves(rows * 2 * inner)?,
            gated: halves(rows * inner)?,
            logits: Buffer::new(device, sequences * vocabulary)?,
            tokens: Buffer::new(device, sequences)?,
            partial: Buffer::new(device, partial)?,
            partial_soft: Buffer::new(device, partial_soft)?,
            scratch: halves(scratch)?,
            inputs: Buffer::new(device, largest(limits).words())?,
        })
    }
}

/// The most that a step can have of each thing.
fn largest(limits: Limits) -> Counts {
    let Limits { rows, sequences, blocks } = limits;
    let tiles = rows / PREFILL_TILE + sequences;
    Counts { rows, decodes: sequences, tiles, sequences, wanted: sequences, stride: blocks }
}

/// Into how many parts to cut contexts of at most `blocks` blocks, so that few sequences keep the whole GPU busy.
pub(crate) fn splits(processors: usize, sequences: usize, kv_heads: usize, blocks: usize) -> usize {
    let parts = (BUSY * processors).div_ceil((sequences * kv_heads).max(1));
    parts.min(blocks).clamp(1, MAX_SPLITS)
}
