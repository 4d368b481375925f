//! Computes on the CPU.

mod attention;
mod kv;
mod linear;
mod model;
mod rope;
mod simd;
#[cfg(test)]
pub(crate) mod tests;
mod threads;

pub(crate) use attention::{Attention, HeadNorms};
pub(crate) use linear::Linear;
pub(crate) use model::{Layer, Model};
pub(crate) use rope::{Pairing, Rope};
pub use threads::environment;
pub(crate) use threads::{shards, wanted};

use crate::{
    local::{Batch, Chosen, Runner, RunnerError},
    weights::Shape,
};
use candle_core::{CpuStorage, Storage, Tensor};
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
        pool.install(|| model.warm()).map_err(|error| error.to_string())?;
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
        let logits = self.pool.install(|| model.forward(batch, cache));
        let logits = logits.map_err(|error| RunnerError(error.to_string()))?;
        Ok(logits.into_iter().map(Chosen::Logits).collect())
    }
}

/// Lends the numbers of a contiguous tensor on the CPU.
fn with_floats<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(data)), Some((start, end))) => Ok(read(&data[start..end])),
        _ => candle_core::bail!("32-bit floats in order on the CPU expected"),
    }
}
