//! `frontdesk bench`: measures the engine as the worker drives it, or a gateway as its clients do, and beside it a server under
//! the same load.

mod engine;
mod figures;
mod parity;
mod peer;
mod process;
mod prompts;
mod retrieval;
mod side;
mod trace;
mod turns;

use crate::{cli::Bench, config::Config};
use anyhow::Context;
use runtime::config::ConfigError;

/// Runs the measurement to its end.
pub fn run(config: &Config, bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Engine(bench) => engine::run(config, bench),
        Bench::Parity(bench) => parity::run(config, bench),
        Bench::Retrieval(bench) => retrieval::run(config, bench),
        Bench::Turns(bench) => turns::run(bench),
        Bench::Echo(bench) => turns::echo::run(bench),
    }
}

/// The inference worker's configuration for `sequences` at once of `tokens` each, with another engine if one is named.
fn inference(
    config: &Config,
    engine: Option<&str>,
    sequences: usize,
    tokens: usize,
) -> anyhow::Result<worker_gpu::Config> {
    let mut inference = config.inference.clone();
    if let Some(engine) = engine {
        inference.engine = engine.into();
    }
    inference.max_sequences = sequences;
    inference.waiting = sequences;
    inference.batch_tokens = inference.batch_tokens.max(sequences);
    inference.context_tokens = tokens;
    let problems = inference.problems();
    if problems.is_empty() { Ok(inference) } else { Err(ConfigError(problems)).context("configuration") }
}
