//! From an answer's text to what its reader is told.

use crate::{
    engine::{Output, SequenceId},
    text::{Meaning, Parser, Part, Shown},
};
use protocol::{Aside, TokenLogprob};

/// Tells answer, reasoning and calls apart. Logprobs are those of the answer's tokens, at a token's precision: one that
/// holds the end of a mark and the answer's first letters is told with neither or with the answer.
pub(crate) struct Told {
    id: SequenceId,
    parser: Parser,
    /// Of text whose meaning is not decided yet.
    logprobs: Vec<TokenLogprob>,
}

impl Told {
    pub fn new(id: SequenceId, parser: Parser) -> Self {
        Self { id, parser, logprobs: Vec::new() }
    }

    /// Reads the answer.
    pub fn parser(&self) -> &Parser {
        &self.parser
    }

    /// Tells what `tokens` more have added.
    pub fn push(&mut self, shown: Shown, tokens: u32, outputs: &mut Vec<Output>) {
        let Shown { text, mut logprobs, .. } = shown;
        if self.parser.is_plain() {
            return outputs.push(Output::Token { id: self.id, text, tokens, logprobs });
        }
        self.logprobs.append(&mut logprobs);
        let parts = self.parser.push(&text);
        if parts.is_empty() {
            let (text, logprobs) = (String::new(), Vec::new());
            outputs.push(Output::Token { id: self.id, text, tokens, logprobs });
        }
        self.tell(parts, tokens, outputs);
    }

    /// Tells what the end of the answer decides.
    pub fn finish(&mut self, outputs: &mut Vec<Output>) {
        let parts = self.parser.finish();
        self.tell(parts, 0, outputs);
        if !self.logprobs.is_empty() {
            let (text, logprobs) = (String::new(), std::mem::take(&mut self.logprobs));
            outputs.push(Output::Token { id: self.id, text, tokens: 0, logprobs });
        }
    }

    fn tell(&mut self, parts: Vec<Part>, mut tokens: u32, outputs: &mut Vec<Output>) {
        for Part { raw, meaning } in parts {
            let (id, tokens) = (self.id, std::mem::take(&mut tokens));
            let logprobs = std::mem::take(&mut self.logprobs);
            let mut aside = Aside { raw, tokens, ..Aside::default() };
            match meaning {
                Meaning::Answer => {
                    outputs.push(Output::Token { id, text: aside.raw, tokens, logprobs });
                    continue;
                }
                Meaning::Reasoning => aside.reasoning = aside.raw.clone(),
                Meaning::Call(call) => aside.calls.push(call),
                Meaning::Nothing => {}
            }
            outputs.push(Output::Aside { id, aside });
        }
    }
}
