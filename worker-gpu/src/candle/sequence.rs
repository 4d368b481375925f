//! One sequence in the engine: its tokens, its text and when it ends.

use super::kv::BlockTable;
use crate::{
    detokenize::Detokenizer,
    engine::{Output, Request, SequenceId},
    sample::Sampler,
    stop::StopFilter,
    tokens::Tokens,
};
use protocol::{ErrorCode, Failure, FinishReason, Usage};

/// A sequence from its prompt to its end.
pub(super) struct Sequence {
    id: SequenceId,
    /// Prompt and answer.
    pub tokens: Vec<u32>,
    /// Where its keys and values are, once it runs.
    pub table: Option<BlockTable>,
    prompt: usize,
    /// Tokens of the answer that the prompt holds already.
    prefix: usize,
    /// Tokens that may still be generated.
    room: usize,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopFilter,
}

impl Sequence {
    /// A sequence that may get `room` more tokens at most; the last `prefix` tokens of `prompt` belong to the answer.
    pub fn new(request: &Request, prompt: Vec<u32>, prefix: usize, room: usize) -> Self {
        let max_tokens = usize::try_from(request.sampling.max_tokens).unwrap_or(usize::MAX);
        Self {
            id: request.id,
            prompt: prompt.len(),
            prefix,
            room: room.min(max_tokens),
            tokens: prompt,
            table: None,
            sampler: Sampler::new(&request.sampling),
            detokenizer: Detokenizer::default(),
            stop: StopFilter::new(&request.sampling.stop),
        }
    }

    /// Tokens that it can have in the end.
    pub fn most_tokens(&self) -> usize {
        self.prompt + self.room
    }

    /// Samples a token and tells what it adds to the answer; false: that was the end.
    pub fn extend(&mut self, tokens: &Tokens, logits: &[f32], outputs: &mut Vec<Output>) -> bool {
        let generated = self.tokens.len() - self.prompt;
        // A continued answer draws the same numbers as one that was never interrupted.
        let Some(token) = self.sampler.next(logits, (self.prefix + generated) as u64) else {
            let failure = Failure::new(ErrorCode::EngineFailed, "the model computed no numbers for this prompt");
            outputs.push(Output::Failed(self.id, failure));
            return false;
        };
        if tokens.is_end(token) {
            return self.finish(FinishReason::Stop, outputs);
        }
        self.tokens.push(token);
        let passed = self.stop.push(&self.detokenizer.push(&tokens.pieces, token));
        outputs.push(Output::Token { id: self.id, text: passed.text, tokens: 1 });
        if passed.stopped {
            self.finish(FinishReason::Stop, outputs)
        } else if generated + 1 >= self.room {
            self.finish(FinishReason::Length, outputs)
        } else {
            true
        }
    }

    fn finish(&mut self, reason: FinishReason, outputs: &mut Vec<Output>) -> bool {
        let text = self.stop.finish();
        if !text.is_empty() {
            outputs.push(Output::Token { id: self.id, text, tokens: 0 });
        }
        let usage =
            Usage { prompt_tokens: self.prompt as u32, completion_tokens: (self.tokens.len() - self.prompt) as u32 };
        outputs.push(Output::Finished { id: self.id, reason, usage });
        false
    }
}
