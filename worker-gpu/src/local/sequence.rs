//! One sequence in the engine: its text and when it ends.

use super::{Chosen, Draw};
use crate::{
    engine::{Output, Request, SequenceId},
    sample::Sampler,
    text::{Detokenizer, StopFilter, Tokens},
};
use protocol::{ErrorCode, Failure, FinishReason, Usage};

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
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopFilter,
}

impl Sequence {
    /// A sequence that may get `room` more tokens at most; the last `prefix` of the `prompt` tokens belong to the answer.
    pub fn new(request: &Request, prompt: usize, prefix: usize, room: usize) -> Self {
        let max_tokens = usize::try_from(request.sampling.max_tokens).unwrap_or(usize::MAX);
        Self {
            id: request.id,
            prompt,
            prefix,
            generated: 0,
            room: room.min(max_tokens),
            sampler: Sampler::new(&request.sampling),
            detokenizer: Detokenizer::default(),
            stop: StopFilter::new(&request.sampling.stop),
        }
    }

    /// How a device may choose the next token by itself.
    pub fn draw(&self) -> Option<Draw> {
        Some(self.sampler.draw(self.position()))
    }

    /// Takes the next token and tells what it adds to the answer; `None`: that was the end.
    pub fn extend(&mut self, tokens: &Tokens, chosen: Chosen, outputs: &mut Vec<Output>) -> Option<u32> {
        let token = match chosen {
            Chosen::Token(token) => Some(token),
            Chosen::Logits(logits) => self.sampler.next(&logits, self.position()),
        };
        let Some(token) = token else {
            let failure = Failure::new(ErrorCode::EngineFailed, "the model computed no numbers for this prompt");
            outputs.push(Output::Failed(self.id, failure));
            return None;
        };
        if tokens.is_end(token) {
            return self.finish(FinishReason::Stop, outputs);
        }
        self.generated += 1;
        let passed = self.stop.push(&self.detokenizer.push(&tokens.pieces, token));
        outputs.push(Output::Token { id: self.id, text: passed.text, tokens: 1 });
        if passed.stopped {
            self.finish(FinishReason::Stop, outputs)
        } else if self.generated >= self.room {
            self.finish(FinishReason::Length, outputs)
        } else {
            Some(token)
        }
    }

    fn finish(&mut self, reason: FinishReason, outputs: &mut Vec<Output>) -> Option<u32> {
        let text = self.stop.finish();
        if !text.is_empty() {
            outputs.push(Output::Token { id: self.id, text, tokens: 0 });
        }
        let usage = Usage { prompt_tokens: self.prompt as u32, completion_tokens: self.generated as u32 };
        outputs.push(Output::Finished { id: self.id, reason, usage });
        None
    }

    /// Tokens of the answer so far: a continued answer draws the same numbers as one that was never interrupted.
    fn position(&self) -> u64 {
        (self.prefix + self.generated) as u64
    }
}
