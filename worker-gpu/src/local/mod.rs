//! The engine of this crate: continuous batching on one device.

mod batch;
#[cfg(test)]
mod format_tests;
mod load;
mod runner;
mod sequence;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tool_tests;

pub(crate) use batch::{Batch, Draw, Span};
pub use load::LoadError;
#[cfg(any(feature = "cuda", test))]
pub(crate) use load::open_with;
pub(crate) use load::{model_name, open};
pub(crate) use runner::{Chosen, Runner, RunnerError};

use crate::{
    config::Config,
    engine::{Admitted, Engine, EngineError, Output, Request, SequenceId, Stats},
    sampling::{self, Grammar, Grammars, calls},
    schedule::{BLOCK, Chunk, Claim, Full, Limits, Scheduler},
    text::{Prompt, Tokens},
};
use protocol::{ErrorCode, Failure, Format};
use sequence::Sequence;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// A request may fill this part of the KV cache at most, so that it never takes it all.
const REQUEST_SHARE: usize = 2;

/// Generates with a model of its own.
pub(crate) struct LocalEngine {
    name: String,
    runner: Box<dyn Runner>,
    tokens: Arc<Tokens>,
    grammars: Arc<OnceLock<Result<Grammars, String>>>,
    scheduler: Scheduler,
    sequences: HashMap<SequenceId, Sequence>,
    capacity: usize,
    context: usize,
    blocks: usize,
}

impl LocalEngine {
    /// `context` is the longest sequence that the model was trained for, in tokens.
    pub fn new(config: &Config, name: String, runner: Box<dyn Runner>, tokens: Tokens, context: usize) -> Self {
        let blocks = runner.blocks();
        let limits = Limits {
            sequences: config.max_sequences,
            batch_tokens: config.batch_tokens,
            waiting: config.waiting,
            blocks,
        };
        let tokens = Arc::new(tokens);
        Self {
            name,
            runner,
            grammars: prepare_grammars(tokens.clone()),
            tokens,
            scheduler: Scheduler::new(limits),
            sequences: HashMap::new(),
            capacity: config.max_sequences,
            context: longest(config, context, blocks),
            blocks,
        }
    }

    /// What the request's answer must look like, if it must look like anything.
    fn grammar(&self, request: &Request, prompt: &Prompt) -> Result<Option<Grammar>, Failure> {
        let called = calls::demanded(&request.tools, &request.sampling, &prompt.parser)?;
        if called.is_none() && request.sampling.format == Format::Text {
            return Ok(None);
        }
        let grammars = self.grammars.get_or_init(|| Grammars::new(&self.tokens)).as_ref().map_err(|why| {
            tracing::error!(why, "this model's vocabulary cannot be put under a grammar");
            Failure::new(ErrorCode::EngineFailed, "this model's vocabulary cannot be put under a grammar")
        })?;
        let (_, answer) = prompt.parts();
        match called {
            Some(call) => grammars.calls(&call, answer).map(Some),
            None => grammars.compile(&request.sampling.format, answer),
        }
    }

    /// Computes the planned tokens; what the chunks that sample get, in order.
    fn forward(&mut self, chunks: &[Chunk]) -> Result<Vec<Chosen>, EngineError> {
        let mut batch = Batch::default();
        for chunk in chunks {
            let (tokens, blocks) = self.scheduler.get(chunk.id).ok_or_else(|| lost(chunk.id))?;
            batch.push(blocks, chunk.start, &tokens[chunk.start..][..chunk.len]);
            if chunk.samples {
                batch.want(self.sequences.get(&chunk.id).and_then(Sequence::draw));
            }
        }
        self.runner.forward(&batch).map_err(|error| EngineError(error.to_string()))
    }

    /// Chooses the next token of each chunk that reached its sequence's end.
    fn sample(&mut self, chunks: &[Chunk], chosen: Vec<Chosen>, outputs: &mut Vec<Output>) -> Result<(), EngineError> {
        let sampling = chunks.iter().filter(|chunk| chunk.samples);
        for (chunk, chosen) in sampling.zip(chosen) {
            let sequence = self.sequences.get_mut(&chunk.id).ok_or_else(|| lost(chunk.id))?;
            match sequence.extend(&self.tokens, chosen, outputs) {
                Some(token) => self.scheduler.grow(chunk.id, token),
                None => self.cancel(chunk.id),
            }
        }
        Ok(())
    }
}

impl Engine for LocalEngine {
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
        let prompt = self.tokens.prompt(&request)?;
        let length = prompt.tokens.len();
        let room = self.context.saturating_sub(length);
        if length == 0 || room == 0 {
            let message = format!("the prompt has {length} tokens; the model's context holds {}", self.context);
            return Err(Failure::new(ErrorCode::ContextLengthExceeded, message));
        }
        let prompt_tokens = length as u32;
        let grammar = self.grammar(&request, &prompt)?;
        let sequence = Sequence::new(&request, &prompt, room, grammar);
        let claim = Claim { tenant: request.tenant, priority: request.priority, weight: request.weight };
        let full = |Full| Failure::new(ErrorCode::Overloaded, "the engine's waiting line is full; try again");
        self.scheduler.add(request.id, claim, prompt.tokens).map_err(full)?;
        self.sequences.insert(request.id, sequence);
        Ok(Admitted { prompt_tokens })
    }

    fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        let plan = self.scheduler.schedule();
        let mut outputs: Vec<Output> = plan.started.iter().copied().map(Output::Started).collect();
        if !plan.chunks.is_empty() {
            let chosen = self.forward(&plan.chunks)?;
            self.sample(&plan.chunks, chosen, &mut outputs)?;
        }
        Ok(outputs)
    }

    fn cancel(&mut self, id: SequenceId) {
        self.scheduler.remove(id);
        self.sequences.remove(&id);
    }

    fn stats(&self) -> Stats {
        let counts = self.scheduler.counts();
        Stats {
            running: self.scheduler.running(),
            waiting: self.scheduler.waiting(),
            blocks: self.blocks,
            blocks_used: self.scheduler.blocks_held(),
            prompt_tokens: counts.prompt_tokens,
            prefix_tokens: counts.prefix_tokens,
            preemptions: counts.preemptions,
        }
    }
}

/// Makes them aside, since it takes a second for a large vocabulary; who needs one earlier waits.
fn prepare_grammars(tokens: Arc<Tokens>) -> Arc<OnceLock<Result<Grammars, String>>> {
    let grammars = Arc::new(OnceLock::new());
    let made = grammars.clone();
    let make = move || {
        made.get_or_init(|| Grammars::new(&tokens));
    };
    if let Err(error) = std::thread::Builder::new().name("grammars".into()).spawn(make) {
        tracing::warn!(%error, "the first answer in a format will take a second longer");
    }
    grammars
}

/// The longest prompt plus answer that is accepted, in tokens.
fn longest(config: &Config, trained: usize, blocks: usize) -> usize {
    let share = if config.max_sequences > 1 { blocks / REQUEST_SHARE } else { blocks };
    let longest = config.context_tokens.min(trained).min(share * BLOCK);
    if longest < config.context_tokens {
        let (configured, cache) = (config.context_tokens, blocks * BLOCK);
        tracing::warn!(configured, trained, cache, longest, "inference.context_tokens is more than there is room for");
    }
    longest
}

fn lost(id: SequenceId) -> EngineError {
    EngineError(format!("the scheduler planned sequence {}, which the engine does not hold", id.0))
}
