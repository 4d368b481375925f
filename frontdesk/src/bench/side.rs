//! One side of a comparison: an engine that is driven as the worker drives it.

use super::{
    process::Process,
    trace::{Moment, Piece, Sequence, Trace},
};
use anyhow::{Context, bail};
use protocol::{ChatMessage, Priority, Role, Sampling, TenantId, Tools};
use std::time::Instant;
use worker_gpu::{Engine, Output, Request, SequenceId};

/// An engine and what is known of its process.
pub struct Side {
    engine: Box<dyn Engine>,
    process: Option<Process>,
    tenant: TenantId,
    ignores_end: bool,
    next: u64,
}

impl Side {
    /// `process` is the one that computes.
    pub fn new(engine: Box<dyn Engine>, process: Option<Process>) -> anyhow::Result<Self> {
        let mut side = Self { engine, process, tenant: TenantId::parse("bench")?, ignores_end: true, next: 0 };
        // Some servers refuse a request for it.
        let tried = side.run(&[vec![ChatMessage::new(Role::User, "Hello")]], &side.whole(1));
        side.ignores_end = tried.is_ok();
        Ok(side)
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        self.engine.model()
    }

    /// How often a sequence had to give its blocks to others; that costs time.
    pub fn preemptions(&self) -> u64 {
        self.engine.stats().preemptions
    }

    /// How many tokens a conversation has with the model's template; 0 when the engine cannot tell.
    pub fn prompt_tokens(&mut self, messages: &[ChatMessage]) -> anyhow::Result<u32> {
        let (id, tokens) = self.add(messages, Sampling::default())?;
        self.engine.cancel(id);
        Ok(tokens)
    }

    /// Greedy answers of exactly so many tokens; of at most so many where the engine ends them regardless.
    pub fn whole(&self, tokens: u32) -> Sampling {
        Sampling { max_tokens: tokens, ignore_eos: self.ignores_end, ..Sampling::default() }
    }

    /// Answers all conversations at once.
    pub fn run(&mut self, conversations: &[Vec<ChatMessage>], sampling: &Sampling) -> anyhow::Result<Trace> {
        let begin = Instant::now();
        let first = self.next;
        let mut trace =
            Trace { moments: vec![self.moment(begin)], sequences: vec![Sequence::default(); conversations.len()] };
        for messages in conversations {
            self.add(messages, sampling.clone())?;
        }
        while !self.engine.is_idle() {
            let outputs = self.engine.step()?;
            if !outputs.is_empty() {
                trace.moments.push(self.moment(begin));
            }
            for output in outputs {
                let sequence = usize::try_from(output.id().0.wrapping_sub(first))?;
                let sequence = trace.sequences.get_mut(sequence).context("an answer to no question")?;
                note(output, trace.moments.len() - 1, sequence)?;
            }
        }
        Ok(trace)
    }

    fn add(&mut self, messages: &[ChatMessage], sampling: Sampling) -> anyhow::Result<(SequenceId, u32)> {
        let id = SequenceId(self.next);
        self.next += 1;
        let request = Request {
            id,
            messages: messages.to_vec(),
            prefix: String::new(),
            sampling,
            tenant: self.tenant.clone(),
            priority: Priority::Interactive,
            weight: 1,
            tools: Tools::default(),
            thinking: None,
        };
        let admitted = self.engine.add(request).with_context(|| self.engine.model().to_string())?;
        Ok((id, admitted.prompt_tokens))
    }

    fn moment(&self, begin: Instant) -> Moment {
        Moment { wall: begin.elapsed().as_secs_f64(), cpu: self.process.as_ref().and_then(Process::seconds) }
    }
}

fn note(output: Output, moment: usize, sequence: &mut Sequence) -> anyhow::Result<()> {
    match output {
        Output::Started(_) => {}
        Output::Token { text, tokens, logprobs, .. } => {
            sequence.pieces.push(Piece { moment, tokens, text, logprobs });
        }
        Output::Aside { aside, .. } => {
            let (tokens, text) = (aside.tokens, aside.raw);
            sequence.pieces.push(Piece { moment, tokens, text, logprobs: Vec::new() });
        }
        Output::Finished { usage, .. } => sequence.usage = usage,
        Output::Failed(_, failure) => bail!(failure),
    }
    Ok(())
}
