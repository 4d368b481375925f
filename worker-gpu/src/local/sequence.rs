//! One sequence in the engine: its text and when it ends.

use super::{Chosen, Draw};
use crate::{
    engine::{Output, Request, SequenceId},
    sampling::{Grammar, Likelihood, Picked, Sampler},
    text::{Detokenizer, Prompt, Speech, Tokens},
    told::Told,
};
use protocol::{Failure, FinishReason, TokenLogprob, Usage};

/// A sequence from its prompt to its end.
pub(super) struct Sequence {
    id: SequenceId,
    /// Tokens of the prompt.
    prompt: usize,
    /// Tokens of the answer that the prompt holds already.
    prefix: usize,
    generated: usize,
    /// Tokens that may still be generated.
    room: usize,
    /// Goes on where the model would end its answer.
    ignore_end: bool,
    sampler: Sampler,
    detokenizer: Detokenizer,
    speech: Speech,
    told: Told,
}

impl Sequence {
    /// A sequence that may get `room` more tokens at most; `grammar` has followed the answer's beginning.
    pub fn new(request: &Request, prompt: &Prompt, room: usize, grammar: Option<Grammar>) -> Self {
        let max_tokens = usize::try_from(request.sampling.max_tokens).unwrap_or(usize::MAX);
        let (asked, answer) = prompt.parts();
        Self {
            id: request.id,
            prompt: prompt.tokens.len(),
            prefix: answer.len(),
            generated: 0,
            room: room.min(max_tokens),
            // A grammar's end is the answer's.
            ignore_end: request.sampling.ignore_eos && grammar.is_none(),
            sampler: Sampler::new(&request.sampling, asked, answer, grammar),
            detokenizer: Detokenizer::default(),
            speech: Speech::new(&request.sampling.stop),
            told: Told::new(request.id, prompt.parser.clone()),
        }
    }

    /// How a device may choose the next token by itself.
    pub fn draw(&self) -> Option<Draw> {
        self.sampler.draw(self.position())
    }

    /// Takes the next token and tells what it adds to the answer; `None`: that was the end.
    pub fn extend(&mut self, tokens: &Tokens, chosen: Chosen, outputs: &mut Vec<Output>) -> Option<u32> {
        let picked = match chosen {
            Chosen::Token(token) => Ok(Picked { token, likelihood: None }),
            Chosen::Logits(logits) => self.sampler.next(logits, self.position()),
        };
        self.take(tokens, picked, outputs).unwrap_or_else(|failure| {
            outputs.push(Output::Failed(self.id, failure));
            None
        })
    }

    fn take(
        &mut self,
        tokens: &Tokens,
        picked: Result<Picked, Failure>,
        outputs: &mut Vec<Output>,
    ) -> Result<Option<u32>, Failure> {
        let Picked { token, likelihood } = picked?;
        if tokens.is_end(token) && !self.ignore_end {
            return Ok(self.finish(FinishReason::Stop, outputs));
        }
        self.sampler.accept(token)?;
        self.generated += 1;
        let is_muted = tokens.mark(token).is_some_and(|mark| !self.told.parser().reads(mark));
        let text = if is_muted { String::new() } else { self.detokenizer.push(&tokens.pieces, token) };
        let told = likelihood.map(|likelihood| tell(tokens, token, likelihood));
        let shown = self.speech.push(&text, self.detokenizer.is_partial(), told.into_iter().collect());
        let stopped = shown.stopped || self.sampler.is_complete();
        self.told.push(shown, 1, outputs);
        let stopped = stopped || self.told.parser().is_complete();
        Ok(if stopped {
            self.finish(FinishReason::Stop, outputs)
        } else if self.generated >= self.room {
            self.finish(FinishReason::Length, outputs)
        } else {
            Some(token)
        })
    }

    fn finish(&mut self, reason: FinishReason, outputs: &mut Vec<Output>) -> Option<u32> {
        let held = self.speech.finish();
        if !held.text.is_empty() || !held.logprobs.is_empty() {
            self.told.push(held, 0, outputs);
        }
        self.told.finish(outputs);
        let has_called = reason == FinishReason::Stop && self.told.parser().has_called();
        let reason = if has_called { FinishReason::ToolCalls } else { reason };
        let usage = Usage { prompt_tokens: self.prompt as u32, completion_tokens: self.generated as u32 };
        outputs.push(Output::Finished { id: self.id, reason, usage });
        None
    }

    /// Tokens of the answer so far: a continued answer draws the same numbers as one that was never interrupted.
    fn position(&self) -> u64 {
        (self.prefix + self.generated) as u64
    }
}

fn tell(tokens: &Tokens, token: u32, likelihood: Likelihood) -> TokenLogprob {
    let top = likelihood.top.iter().map(|&(token, logprob)| tokens.logprob(token, logprob)).collect();
    TokenLogprob { chosen: tokens.logprob(token, likelihood.logprob), top }
}
