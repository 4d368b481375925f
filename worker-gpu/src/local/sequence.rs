//! One sequence in the engine: its text and when it ends.

use super::{Chosen, Draw};
use crate::{
    engine::{Output, Request, SequenceId},
    sampling::{Grammar, Likelihood, Picked, Sampler},
    text::{Detokenizer, Shown, Speech, Tokens},
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
}

impl Sequence {
    /// A sequence that may get `room` more tokens at most; the last `prefix` of the `prompt` tokens belong to the answer,
    /// and `grammar` has followed them.
    pub fn new(request: &Request, prompt: &[u32], prefix: usize, room: usize, grammar: Option<Grammar>) -> Self {
        let max_tokens = usize::try_from(request.sampling.max_tokens).unwrap_or(usize::MAX);
        let (asked, answer) = prompt.split_at(prompt.len().saturating_sub(prefix));
        Self {
            id: request.id,
            prompt: prompt.len(),
            prefix,
            generated: 0,
            room: room.min(max_tokens),
            // A grammar's end is the answer's.
            ignore_end: request.sampling.ignore_eos && grammar.is_none(),
            sampler: Sampler::new(&request.sampling, asked, answer, grammar),
            detokenizer: Detokenizer::default(),
            speech: Speech::new(&request.sampling.stop),
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
        let text = self.detokenizer.push(&tokens.pieces, token);
        let told = likelihood.map(|likelihood| tell(tokens, token, likelihood));
        let shown = self.speech.push(&text, self.detokenizer.is_partial(), told.into_iter().collect());
        let stopped = shown.stopped || self.sampler.is_complete();
        self.show(shown, 1, outputs);
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
            self.show(held, 0, outputs);
        }
        let usage = Usage { prompt_tokens: self.prompt as u32, completion_tokens: self.generated as u32 };
        outputs.push(Output::Finished { id: self.id, reason, usage });
        None
    }

    fn show(&self, shown: Shown, tokens: u32, outputs: &mut Vec<Output>) {
        outputs.push(Output::Token { id: self.id, text: shown.text, tokens, logprobs: shown.logprobs });
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
