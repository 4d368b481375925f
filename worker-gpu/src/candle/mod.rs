//! Computes on the CPU.

mod attend;
mod attention;
mod build;
mod columns;
mod isa;
mod kv;
mod linear;
mod model;
mod rope;
mod simd;
mod team;
#[cfg(test)]
pub(crate) mod tests;
mod threads;

pub(crate) use attention::{Attention, HeadNorms};
pub(crate) use build::{Builder, bytes};
pub(crate) use linear::Linear;
pub(crate) use model::{Layer, Model};
pub(crate) use rope::Rope;
pub(crate) use threads::wanted;

use crate::{
    local::{Batch, Chosen, Runner, RunnerError},
    weights::Shape,
};
use kv::KvCache;
use rayon::ThreadPool;

/// A model on the CPU.
pub(crate) struct CpuRunner {
    model: Model,
    cache: KvCache,
    pool: ThreadPool,
}

impl CpuRunner {
    /// Prepares the weights; the KV cache takes `cache_bytes` at most. The error is a sentence for an operator.
    pub fn new(model: Model, shape: &Shape, cache_bytes: usize, threads: usize) -> Result<Self, String> {
        let pool = threads::pool(threads).map_err(|error| error.to_string())?;
        let blocks = cache_bytes / shape.block_bytes(size_of::<f32>());
        let cache = KvCache::new(shape.layers, shape.kv_heads, shape.head_dim, blocks);
        Ok(Self { model, cache, pool })
    }
}

impl Runner for CpuRunner {
    fn blocks(&self) -> usize {
        self.cache.blocks()
    }

    fn forward(&mut self, batch: &Batch<'_>) -> Result<Vec<Chosen>, RunnerError> {
        let (model, cache) = (&self.model, &mut self.cache);
        let vocabulary = model.embedding.outputs();
        if let Some(token) = batch.tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(RunnerError(format!("token {token} is not among the model's {vocabulary}")));
        }
        let logits = self.pool.install(|| model.forward(batch, cache));
        Ok(logits.into_iter().map(Chosen::Logits).collect())
    }
}
