//! A model on one GPU.

use super::{
    cache::KvCache,
    device::{DeviceError, Recording},
    inputs::Inputs,
    kernels::{HEAD_DIMS, MAX_GROUP},
    model::{Model, Sizes},
    space::{Limits, Space, splits},
};
use crate::{
    local::{Batch, Chosen, Runner, RunnerError},
    schedule::BLOCK,
};
use std::collections::HashMap;

/// The largest number of sequences that a recorded step computes one token of.
const LARGEST_GRAPH: usize = 256;

/// Computes on one GPU; steps in which every sequence continues by one token are recorded once and then replayed.
pub(crate) struct CudaRunner {
    model: Model,
    space: Space,
    cache: KvCache,
    limits: Limits,
    /// Recorded steps by the number of sequences, which is filled up to it.
    graphs: HashMap<usize, Box<dyn Recording>>,
}

impl CudaRunner {
    /// Takes memory for steps within `limits`, and for keys and values what remains of `bytes`.
    pub fn new(model: Model, limits: Limits, bytes: usize) -> Result<Self, DeviceError> {
        let device = model.device.clone();
        let before = device.free_bytes()?;
        // Filling up may need more rows than there are sequences.
        let most = bucket(limits.sequences);
        let wide = Limits { rows: limits.rows.max(most), sequences: most, ..limits };
        let space = Space::new(&device, &model, wide)?;
        let left = bytes.saturating_sub(before.saturating_sub(device.free_bytes()?));
        let Sizes { layers, heads, .. } = model.sizes;
        let blocks = (left / KvCache::block_bytes(layers, heads)).saturating_sub(1);
        let cache = KvCache::new(&device, layers, heads, blocks)?;
        Ok(Self { model, space, cache, limits, graphs: HashMap::new() })
    }

    fn check(&self, batch: &Batch<'_>) -> Result<(), DeviceError> {
        let wrong = |what: String| Err(DeviceError::refused("the batch", what));
        let rows: usize = batch.spans.iter().map(|span| span.len).sum();
        let Limits { rows: most, sequences, blocks } = self.limits;
        if rows != batch.tokens.len() || rows > most || batch.spans.len().max(batch.wanted.len()) > sequences {
            return wrong(format!("{rows} rows of {} sequences; at most {most} of {sequences}", batch.spans.len()));
        }
        let vocabulary = self.model.sizes.vocabulary;
        if let Some(token) = batch.tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return wrong(format!("token {token} is not in the vocabulary of {vocabulary}"));
        }
        if batch.wanted.iter().any(|wanted| wanted.row as usize >= rows) {
            return wrong("a row is wanted that is not computed".into());
        }
        let there = |span: &crate::local::Span<'_>| {
            let used = (span.position + span.len).div_ceil(BLOCK);
            let known = span.blocks.iter().take(used).all(|&block| (block as usize) < self.cache.blocks());
            span.len > 0 && used <= span.blocks.len().min(blocks) && known
        };
        if batch.spans.iter().all(there) { Ok(()) } else { wrong("a sequence lacks blocks".into()) }
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Chosen>, DeviceError> {
        self.check(batch)?;
        if batch.spans.is_empty() {
            return Ok(Vec::new());
        }
        let sequences = batch.spans.len();
        if continues(batch) && bucket(sequences) <= LARGEST_GRAPH {
            self.replay(Inputs::new(batch, self.limits.blocks), bucket(sequences))?;
        } else {
            let inputs = Inputs::new(batch, 0);
            self.send(&inputs)?;
            self.begin(&inputs)?;
        }
        self.chosen(batch)
    }

    /// A step of one token per sequence, recorded or from now on recorded.
    fn replay(&mut self, mut inputs: Inputs, bucket: usize) -> Result<(), DeviceError> {
        let padding = u32::try_from(self.cache.blocks()).unwrap_or(u32::MAX);
        inputs.pad(bucket, padding);
        self.send(&inputs)?;
        if let Some(graph) = self.graphs.get(&bucket) {
            return graph.replay();
        }
        // The first time it is done as it is, since what loads at first use must not be recorded.
        self.begin(&inputs)?;
        let graph = self.model.device.record(&mut || self.begin(&inputs))?;
        self.graphs.insert(bucket, graph);
        Ok(())
    }

    fn send(&mut self, inputs: &Inputs) -> Result<(), DeviceError> {
        self.space.inputs.write(0, &inputs.words())
    }

    fn begin(&self, inputs: &Inputs) -> Result<(), DeviceError> {
        let counts = inputs.counts;
        let places = counts.places(self.space.inputs.all())?;
        let (processors, kv_heads) = (self.model.device.processors(), self.model.sizes.heads.kv_heads);
        let splits = splits(processors, counts.decodes, kv_heads, counts.stride);
        self.model.forward(&self.space, &self.cache, &places, counts, splits)
    }

    /// Waits, and fetches what was asked for.
    fn chosen(&self, batch: &Batch<'_>) -> Result<Vec<Chosen>, DeviceError> {
        let tokens = self.space.tokens.read(0, batch.wanted.len())?;
        let vocabulary = self.model.sizes.vocabulary;
        let choice = |(number, token): (usize, i32)| match (&batch.wanted[number].draw, u32::try_from(token)) {
            (Some(_), Ok(token)) => Ok(Chosen::Token(token)),
            // The engine tells what is wrong with logits that hold no number.
            _ => self.space.logits.read(number * vocabulary, vocabulary).map(Chosen::Logits),
        };
        tokens.into_iter().enumerate().map(choice).collect()
    }
}

impl Runner for CudaRunner {
    fn blocks(&self) -> usize {
        self.cache.blocks()
    }

    fn forward(&mut self, batch: &Batch<'_>) -> Result<Vec<Chosen>, RunnerError> {
        self.step(batch).map_err(|error| RunnerError(error.to_string()))
    }
}

/// Whether every sequence continues by one token, which all are wanted.
fn continues(batch: &Batch<'_>) -> bool {
    let single = batch.spans.iter().all(|span| span.len == 1);
    single && batch.wanted.iter().map(|wanted| wanted.row as usize).eq(0..batch.spans.len())
}

/// How many sequences a recorded step for `sequences` has.
fn bucket(sequences: usize) -> usize {
    if sequences <= 8 { sequences.next_power_of_two() } else { sequences.next_multiple_of(16) }
}

/// What the kernels cannot compute, in words for an operator.
pub(crate) fn unsupported(sizes: &Sizes) -> Option<String> {
    let heads = sizes.heads;
    let group = heads.heads / heads.kv_heads.max(1);
    if !HEAD_DIMS.contains(&heads.dim) {
        return Some(format!("heads of {} elements; the GPU's kernels know {HEAD_DIMS:?}", heads.dim));
    }
    if group > MAX_GROUP {
        return Some(format!("{group} query heads per KV head; the GPU's kernels know up to {MAX_GROUP}"));
    }
    let widths = [sizes.hidden, sizes.inner];
    let odd = widths.into_iter().find(|width| !width.is_multiple_of(8));
    odd.map(|width| format!("a layer of {width} elements; the GPU's kernels need multiples of 8"))
}
