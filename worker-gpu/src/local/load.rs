//! From a model file to an engine.

use super::{LocalEngine, Runner};
use crate::{
    candle::{self, CpuRunner},
    config::Config,
    schedule::BLOCK,
    text::Tokens,
    weights::{self, Gguf, GgufError, Mismatch},
};
use runtime::Clock;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// Blocks without which nothing useful can be generated.
const FEWEST_BLOCKS: usize = 4;

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
    /// The KV cache would hold too little.
    #[error("inference.cache_mib = {configured}: a sequence of {tokens} tokens takes {needed} MiB; set at least that")]
    Cache {
        /// What is configured, in MiB.
        configured: usize,
        /// The shortest acceptable context.
        tokens: usize,
        /// What it takes, in MiB.
        needed: usize,
    },
}

/// Loads and checks the model at `path`.
pub(crate) fn open(config: &Config, path: &Path, clock: Arc<dyn Clock>) -> Result<LocalEngine, LoadError> {
    let begun = Instant::now();
    let threads = candle::wanted(config.threads);
    let file_error = |error| LoadError::File { path: path.into(), error };
    let gguf_error = |error| LoadError::Gguf { path: path.into(), error };
    let file = File::open(path).map_err(file_error)?;
    if let Err(mismatch) = weights::check(path).map_err(file_error)? {
        return Err(LoadError::Mismatch { path: path.into(), mismatch });
    }
    let mut gguf = Gguf::open(file).map_err(gguf_error)?;
    let shape = gguf.shape().map_err(gguf_error)?;
    let mut tokens =
        Tokens::new(&gguf.content, clock).map_err(|problem| LoadError::Tokens { path: path.into(), problem })?;
    if config.ignore_end {
        tokens.ignore_ends();
    }
    let model = gguf.model(&shape, shape.context.min(config.context_tokens)).map_err(gguf_error)?;
    let runner = CpuRunner::new(model, &shape, config.cache_mib << 20, threads).map_err(LoadError::Prepare)?;
    let blocks = runner.blocks();
    if blocks < FEWEST_BLOCKS {
        let needed = (FEWEST_BLOCKS * shape.block_bytes(size_of::<f32>())).div_ceil(1 << 20);
        return Err(LoadError::Cache { configured: config.cache_mib, tokens: FEWEST_BLOCKS * BLOCK, needed });
    }
    let engine = LocalEngine::new(config, model_name(path), Box::new(runner), tokens, shape.context);
    let (seconds, context) = (begun.elapsed().as_secs_f64(), engine.context);
    tracing::info!(model = engine.name, threads, context, blocks, seconds, "the model is loaded");
    Ok(engine)
}
