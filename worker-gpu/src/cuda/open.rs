//! From a model's files to an engine on a GPU.

use super::{
    cache::KvCache,
    device::Device,
    load::{self, failed},
    model::Sizes,
    runner::CudaRunner,
    space::Limits,
};
use crate::{
    config::Config,
    local::{self, LoadError, LocalEngine, Runner},
    schedule::BLOCK,
    weights::Checkpoint,
};
use runtime::Clock;
use std::{path::Path, sync::Arc};

/// Blocks without which nothing useful can be generated.
const FEWEST_BLOCKS: usize = 4;

/// Loads and checks the model at `path` for GPU `ordinal`.
#[cfg(feature = "cuda")]
pub(crate) fn open(
    config: &Config,
    path: &Path,
    ordinal: usize,
    clock: Arc<dyn Clock>,
) -> Result<LocalEngine, LoadError> {
    let device = super::driver::open(ordinal).map_err(failed)?;
    open_on(&device, config, path, clock)
}

/// The same on an open device.
pub(crate) fn open_on(
    device: &Arc<dyn Device>,
    config: &Config,
    path: &Path,
    clock: Arc<dyn Clock>,
) -> Result<LocalEngine, LoadError> {
    local::open_with(config, path, clock, |checkpoint| {
        let runner: Box<dyn Runner> = Box::new(runner(device, config, path, checkpoint)?);
        Ok(runner)
    })
}

fn runner(
    device: &Arc<dyn Device>,
    config: &Config,
    path: &Path,
    checkpoint: &Checkpoint,
) -> Result<CudaRunner, LoadError> {
    let free = device.free_bytes().map_err(failed)?;
    let share = (free as f64 * config.memory_fraction) as usize;
    let sizes = Sizes::from(&checkpoint.shape);
    let cache = FEWEST_BLOCKS * KvCache::block_bytes(sizes.layers, sizes.heads);
    let too_little = |need: usize| {
        let (need, share, free) = (need.div_ceil(1 << 20), share >> 20, free >> 20);
        let fraction = config.memory_fraction;
        LoadError::Prepare(format!(
            "{}: weights, buffers and the smallest KV cache need more than {need} MiB of the GPU's memory, \
             inference.memory_fraction = {fraction} leaves {share} of {free} MiB; take a smaller or a quantized model, \
             another GPU, or less inference.batch_tokens and inference.max_sequences",
            path.display()
        ))
    };
    let weights = load::bytes(checkpoint)?;
    if weights + cache > share {
        return Err(too_little(weights + cache));
    }
    let context = config.context_tokens.min(checkpoint.shape.context);
    let model = load::model(device, checkpoint, path, context)?;
    let left = share.saturating_sub(free.saturating_sub(device.free_bytes().map_err(failed)?));
    let limits = Limits { rows: config.batch_tokens, sequences: config.max_sequences, blocks: context.div_ceil(BLOCK) };
    let runner = CudaRunner::new(model, limits, left).map_err(failed)?;
    if runner.blocks() < FEWEST_BLOCKS { Err(too_little(weights + cache)) } else { Ok(runner) }
}
