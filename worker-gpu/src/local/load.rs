//! From a model's files to an engine.

use super::{LocalEngine, Runner};
use crate::{
    candle::{self, Builder, CpuRunner},
    config::Config,
    schedule::BLOCK,
    text::Tokens,
    weights::{self, Checkpoint, Mismatch, Shape, WeightsError},
};
use runtime::Clock;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// Blocks without which nothing useful can be generated.
const FEWEST_BLOCKS: usize = 4;

/// A model is called as its file or its directory is, without `.gguf`.
pub(crate) fn model_name(path: &Path) -> String {
    let is_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let name = if is_file { path.file_stem() } else { path.file_name() };
    name.map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
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
    #[error("{}: {mismatch}; delete the file and fetch it again (`make models` for the default model)", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// How it differs.
        mismatch: Mismatch,
    },
    /// The files hold no model that can be run here.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tokenizer or the chat template cannot be used.
    #[error("{}: {problem}", path.display())]
    Tokens {
        /// The file or the directory.
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
    /// The system has too little memory.
    #[error(
        "{}: {weights} MiB of weights and inference.cache_mib = {cache} need {} MiB of memory, {available} MiB are \
         available; set inference.cache_mib lower, take a smaller or a quantized model, or give the process more",
        path.display(), weights + cache
    )]
    Memory {
        /// The file or the directory.
        path: PathBuf,
        /// What the weights take, in MiB.
        weights: u64,
        /// What the KV cache takes, in MiB.
        cache: u64,
        /// What there is, in MiB.
        available: u64,
    },
}

/// Loads and checks the model at `path` for the CPU.
pub(crate) fn open(config: &Config, path: &Path, clock: Arc<dyn Clock>) -> Result<LocalEngine, LoadError> {
    open_with(config, path, clock, |checkpoint| {
        let shape = &checkpoint.shape;
        check_cache(config, shape)?;
        check_memory(config, path, checkpoint, weights::available())?;
        let threads = candle::wanted(config.threads);
        let model = Builder { path, checkpoint }.model(shape.context.min(config.context_tokens))?;
        let runner = CpuRunner::new(model, shape, config.cache_mib << 20, threads).map_err(LoadError::Prepare)?;
        Ok(Box::new(runner))
    })
}

/// Checks the model at `path` and loads its tokenizer; its weights are loaded by `runner`.
pub(crate) fn open_with(
    config: &Config,
    path: &Path,
    clock: Arc<dyn Clock>,
    runner: impl FnOnce(&Checkpoint) -> Result<Box<dyn Runner>, LoadError>,
) -> Result<LocalEngine, LoadError> {
    let begun = Instant::now();
    let dummy = weights::dummy_name(path);
    if dummy.is_none() {
        verify(path)?;
    }
    let checkpoint = Checkpoint::open(path)?;
    let tokens = match (dummy, checkpoint.metadata()) {
        (Some(_), _) => Tokens::dummy(checkpoint.shape.vocabulary, clock),
        (None, Some(metadata)) => Tokens::from_gguf(metadata, clock),
        (None, None) => Tokens::from_directory(path, clock),
    };
    let tokens = tokens.map_err(|problem| LoadError::Tokens { path: path.into(), problem })?;
    let runner = runner(&checkpoint)?;
    let blocks = runner.blocks();
    let engine = LocalEngine::new(config, model_name(path), runner, tokens, checkpoint.shape.context);
    let (seconds, context) = (begun.elapsed().as_secs_f64(), engine.context);
    tracing::info!(model = engine.name, context, blocks, seconds, "the model is loaded");
    Ok(engine)
}

/// Compares the model's files with their hashes, as far as these are known.
fn verify(path: &Path) -> Result<(), LoadError> {
    let file_error = |error| LoadError::File { path: path.into(), error };
    path.metadata().map_err(file_error)?;
    let files = if path.is_dir() { weights::hashed(path).map_err(file_error)? } else { vec![path.into()] };
    files.into_iter().try_for_each(|path| match weights::check(&path) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(mismatch)) => Err(LoadError::Mismatch { path, mismatch }),
        Err(error) => Err(LoadError::File { path, error }),
    })
}

fn check_cache(config: &Config, shape: &Shape) -> Result<(), LoadError> {
    let fewest = FEWEST_BLOCKS * shape.block_bytes(size_of::<f32>());
    if config.cache_mib << 20 >= fewest {
        return Ok(());
    }
    let needed = fewest.div_ceil(1 << 20);
    Err(LoadError::Cache { configured: config.cache_mib, tokens: FEWEST_BLOCKS * BLOCK, needed })
}

fn check_memory(
    config: &Config,
    path: &Path,
    checkpoint: &Checkpoint,
    available: Option<u64>,
) -> Result<(), LoadError> {
    let (weights, cache) = (candle::bytes(checkpoint)?.div_ceil(1 << 20), config.cache_mib as u64);
    let available = available.map_or(u64::MAX, |bytes| bytes >> 20);
    if weights + cache <= available {
        return Ok(());
    }
    Err(LoadError::Memory { path: path.into(), weights, cache, available })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_as_its_file_or_directory_is() {
        let name = |path: &str| model_name(Path::new(path));
        assert_eq!(name("/models/qwen2.5-1.5b-q4_k_m.gguf"), "qwen2.5-1.5b-q4_k_m");
        assert_eq!(name("/models/Qwen3-0.6B/"), "Qwen3-0.6B");
    }
}
