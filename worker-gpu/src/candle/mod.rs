//! Generates with a GGUF model on the CPU, many sequences at a time.

mod attention;
mod batch;
mod gguf;
mod kv;
mod linear;
mod model;
mod rope;
mod sequence;
mod simd;
#[cfg(test)]
mod tests;
mod threads;
mod verify;

pub use gguf::GgufError;
pub use threads::environment;
pub use verify::Mismatch;

use crate::{
    config::Config,
    engine::{Admitted, Engine, EngineError, Load, Output, Request, SequenceId},
    sampling,
    scheduler::{Chunk, Full, Limits, Plan, Scheduler},
    tokens::Tokens,
};
use batch::Batch;
use candle_core::{CpuStorage, Storage, Tensor};
use gguf::Gguf;
use kv::KvCache;
use model::Model;
use protocol::{ErrorCode, Failure};
use rayon::ThreadPool;
use runtime::Clock;
use sequence::Sequence;
use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// A model is called as its file is, without the ending.
pub(crate) fn model_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "gguf".into(), |stem| stem.to_string_lossy().into_owned())
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{}: {error}; `make models` fetches the default model", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is damaged, or another one.
    #[error("{}: {mismatch}; delete the file and run `make models`", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// How it differs.
        mismatch: Mismatch,
    },
    /// The file holds no model that can be run here.
    #[error("{}: {error}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: GgufError,
    },
    /// The file's tokenizer cannot be used.
    #[error("{}: {problem}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The threads or the weights could not be prepared.
    #[error("{0}")]
    Prepare(String),
}

/// The engine on candle's quantized matrix products.
pub(crate) struct CandleEngine {
    name: String,
    model: Model,
    tokens: Tokens,
    cache: KvCache,
    scheduler: Scheduler,
    sequences: HashMap<SequenceId, Sequence>,
    capacity: usize,
    context: usize,
    pool: ThreadPool,
}

impl CandleEngine {
    /// Loads and checks the model at `path`.
    pub fn open(config: &Config, path: &Path, clock: Arc<dyn Clock>) -> Result<Self, LoadError> {
        let begun = Instant::now();
        let threads = threads::wanted(config.threads);
        let file_error = |error| LoadError::File { path: path.into(), error };
        let gguf_error = |error| LoadError::Gguf { path: path.into(), error };
        let file = File::open(path).map_err(file_error)?;
        if let Err(mismatch) = verify::check(path).map_err(file_error)? {
            return Err(LoadError::Mismatch { path: path.into(), mismatch });
        }
        let mut gguf = Gguf::open(file, threads::shards(threads)).map_err(gguf_error)?;
        let shape = gguf.shape().map_err(gguf_error)?;
        let context = context(config.context_tokens, shape.context);
        let tokens =
            Tokens::new(&gguf.content, clock).map_err(|problem| LoadError::Tokens { path: path.into(), problem })?;
        let model = gguf.model(&shape, context).map_err(gguf_error)?;
        let pool = threads::pool(threads).map_err(|error| LoadError::Prepare(error.to_string()))?;
        pool.install(|| model.warm()).map_err(|error| LoadError::Prepare(error.to_string()))?;
        let name = model_name(path);
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(model = name, threads, context, seconds, "the model is loaded");
        let capacity = config.max_sequences;
        let limits = Limits { sequences: capacity, batch_tokens: config.batch_tokens, waiting: config.waiting };
        Ok(Self {
            name,
            model,
            tokens,
            cache: KvCache::new(
                shape.layers,
                shape.kv_heads,
                shape.head_dim,
                capacity * context.next_multiple_of(kv::BLOCK),
            ),
            scheduler: Scheduler::new(limits),
            sequences: HashMap::new(),
            capacity,
            context,
            pool,
        })
    }

    /// Gives each starting sequence its blocks.
    fn start(&mut self, plan: &Plan) -> Result<Vec<Output>, EngineError> {
        for id in &plan.started {
            let sequence = self.sequences.get_mut(id).ok_or_else(|| lost(*id))?;
            // There is a slot, and the cache has a whole context for each.
            let table = self.cache.reserve(sequence.most_tokens());
            sequence.table = Some(table.ok_or_else(|| EngineError("the KV cache is exhausted".into()))?);
        }
        Ok(plan.started.iter().copied().map(Output::Started).collect())
    }

    /// Computes the planned tokens; the logits of the chunks that sample, in order.
    fn forward(&mut self, chunks: &[Chunk]) -> Result<Vec<Vec<f32>>, EngineError> {
        let mut batch = Batch::default();
        for chunk in chunks {
            let sequence = self.sequences.get(&chunk.id).ok_or_else(|| lost(chunk.id))?;
            let table = sequence.table.as_ref().ok_or_else(|| lost(chunk.id))?;
            batch.push(table, chunk.start, &sequence.tokens[chunk.start..][..chunk.len], chunk.samples);
        }
        let (model, cache) = (&self.model, &mut self.cache);
        let logits = self.pool.install(|| model.forward(&batch, cache));
        logits.map_err(|error| EngineError(format!("the forward pass failed: {error}")))
    }

    /// Samples the next token of each chunk that reached its sequence's end.
    fn sample(&mut self, chunks: &[Chunk], logits: &[Vec<f32>], outputs: &mut Vec<Output>) -> Result<(), EngineError> {
        let sampling = chunks.iter().filter(|chunk| chunk.samples);
        for (chunk, logits) in sampling.zip(logits) {
            let sequence = self.sequences.get_mut(&chunk.id).ok_or_else(|| lost(chunk.id))?;
            if sequence.extend(&self.tokens, logits, outputs) {
                self.scheduler.grow(chunk.id);
            } else {
                self.forget(chunk.id);
            }
        }
        Ok(())
    }

    fn forget(&mut self, id: SequenceId) {
        self.scheduler.remove(id);
        if let Some(table) = self.sequences.remove(&id).and_then(|sequence| sequence.table) {
            self.cache.release(table);
        }
    }
}

impl Engine for CandleEngine {
    fn model(&self) -> &str {
        &self.name
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn context_tokens(&self) -> usize {
        self.context
    }

    fn add(&mut self, request: Request) -> Result<Admitted, Failure> {
        sampling::check(&request.sampling)?;
        let prompt = self.tokens.prompt(&request.messages, &request.prefix)?;
        let room = self.context.saturating_sub(prompt.len());
        if prompt.is_empty() || room == 0 {
            let message = format!("the prompt has {} tokens; the model's context holds {}", prompt.len(), self.context);
            return Err(Failure::new(ErrorCode::ContextLengthExceeded, message));
        }
        let full = |Full| Failure::new(ErrorCode::Overloaded, "the engine's waiting line is full; try again");
        self.scheduler.add(request.id, prompt.len()).map_err(full)?;
        let prompt_tokens = prompt.len() as u32;
        let prefix = if request.prefix.is_empty() { 0 } else { self.tokens.count(&request.prefix)? };
        self.sequences.insert(request.id, Sequence::new(&request, prompt, prefix, room));
        Ok(Admitted { prompt_tokens })
    }

    fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        let plan = self.scheduler.schedule();
        let mut outputs = self.start(&plan)?;
        if !plan.chunks.is_empty() {
            let logits = self.forward(&plan.chunks)?;
            self.sample(&plan.chunks, &logits, &mut outputs)?;
        }
        Ok(outputs)
    }

    fn cancel(&mut self, id: SequenceId) {
        self.forget(id);
    }

    fn load(&self) -> Load {
        Load { running: self.scheduler.running(), waiting: self.scheduler.waiting(), cache_used: self.cache.used() }
    }
}

fn context(configured: usize, trained: usize) -> usize {
    if configured > trained {
        tracing::warn!(
            configured,
            trained,
            "inference.context_tokens is more than the model was trained for; using that"
        );
    }
    configured.min(trained)
}

/// Lends the numbers of a contiguous tensor on the CPU.
fn with_floats<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(data)), Some((start, end))) => Ok(read(&data[start..end])),
        _ => candle_core::bail!("32-bit floats in order on the CPU expected"),
    }
}

fn lost(id: SequenceId) -> EngineError {
    EngineError(format!("the scheduler planned sequence {}, which the engine does not hold", id.0))
}
