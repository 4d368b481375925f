//! What a model's words mean: the answer, what it thinks, and what it wants to have called.
//!
//! The text comes in pieces of any size. Each part that is told says which text it stands for, and those texts, joined,
//! are all that came but for an end that is not decided yet. A parser that is fed the text which was told stands where
//! the first one stood ([`Parser::resume`]): so an answer is continued after its worker died, in the middle of a call even.

mod call;
mod json;
mod syntax;
#[cfg(test)]
mod tests;

pub(crate) use syntax::{CallSyntax, Syntax};

use json::Scanner;
use protocol::{ToolCallDelta, Tools};

/// A part of what was generated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// The text that it stands for.
    pub raw: String,
    /// What it means.
    pub meaning: Meaning,
}

/// What a part means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meaning {
    /// The answer, word for word.
    Answer,
    /// What the model thinks, word for word.
    Reasoning,
    /// A piece of a call.
    Call(ToolCallDelta),
    /// Marks, and the spaces around them.
    Nothing,
}

/// Where in the answer the held text is.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// Nothing but spaces has come.
    Start,
    /// Before a thought's first word.
    ThoughtStart,
    Thought,
    /// After a thought or a call.
    Between,
    Text,
    /// Within a call, before its arguments.
    Head,
    /// Within a call whose parts do not come in the usual order, or within what looks like one.
    Whole,
    Arguments(Scanner),
    /// After a call's arguments.
    Tail,
}

/// Reads one answer.
#[derive(Debug, Clone)]
pub(crate) struct Parser {
    thinks: bool,
    /// How calls are written; `None`: nothing is one.
    calls: Option<CallSyntax>,
    offered: Vec<String>,
    single: bool,
    place: Place,
    /// What stands around the call at hand.
    around: [&'static str; 2],
    held: String,
    called: u32,
}

/// How much of the held text is decided, and what it means.
type Step = Option<(usize, Meaning)>;

impl Parser {
    /// A parser of an answer that begins within a thought if the prompt `opens` one.
    pub fn new(syntax: Syntax, tools: &Tools, opens: bool) -> Self {
        let offered: Vec<String> = tools.usable().iter().map(|tool| tool.name.clone()).collect();
        let calls = syntax.calls.filter(|_| !offered.is_empty());
        let place = if opens { Place::ThoughtStart } else { Place::Start };
        let (held, around) = (String::new(), syntax::NOTHING);
        Self { thinks: syntax.thinks, calls, offered, single: tools.single, place, around, held, called: 0 }
    }

    /// Goes to where a parser stood that had told of the text `told`.
    pub fn resume(&mut self, told: &str) {
        self.push(told);
        // What could still become a mark did not, or it would not have been told.
        if !std::mem::take(&mut self.held).is_empty() && matches!(self.place, Place::Start | Place::Between) {
            self.place = Place::Text;
        }
    }

    /// Takes generated text.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        self.parts(false)
    }

    /// What the end of the generated text decides.
    pub fn finish(&mut self) -> Vec<Part> {
        self.parts(true)
    }

    /// Whether all that follows is the answer, word for word.
    pub fn is_plain(&self) -> bool {
        self.calls.is_none() && (!self.thinks || self.place == Place::Text) && self.held.is_empty()
    }

    /// How calls are to be written, if anything may be called.
    pub fn calls(&self) -> Option<CallSyntax> {
        self.calls
    }

    /// Whether the answer begins within a thought.
    pub fn is_thinking(&self) -> bool {
        matches!(self.place, Place::ThoughtStart | Place::Thought)
    }

    /// Whether there is a call.
    pub fn has_called(&self) -> bool {
        self.called > 0
    }

    /// Whether there is a call and no other was asked for.
    pub fn is_complete(&self) -> bool {
        self.single && self.called > 0 && !matches!(self.place, Place::Arguments(_))
    }

    /// Whether this text has a meaning of its own here.
    pub fn reads(&self, mark: &str) -> bool {
        let is_of = |marks: &[&str]| marks.contains(&mark);
        (self.thinks && is_of(&syntax::THOUGHTS)) || self.calls.is_some_and(|calls| is_of(calls.marks()))
    }

    fn parts(&mut self, ended: bool) -> Vec<Part> {
        let mut parts = Vec::new();
        while !self.held.is_empty() && !self.is_complete() {
            let Some((length, meaning)) = self.next(ended) else { break };
            let rest = self.held.split_off(length);
            let raw = std::mem::replace(&mut self.held, rest);
            if !raw.is_empty() {
                parts.push(Part { raw, meaning });
            }
        }
        parts
    }

    fn next(&mut self, ended: bool) -> Step {
        match &self.place {
            Place::Start => self.start(ended),
            Place::ThoughtStart => self.thought_start(),
            Place::Thought => self.thought(ended),
            Place::Between => self.between(ended),
            Place::Text => self.text(ended),
            Place::Head => self.head(ended),
            Place::Whole => self.whole(ended),
            Place::Arguments(_) => self.arguments(),
            Place::Tail => self.tail(ended),
        }
    }

    /// Goes on at `place`; the `length` bytes before it mean nothing.
    fn skip(&mut self, length: usize, place: Place) -> Step {
        self.place = place;
        Some((length, Meaning::Nothing))
    }

    fn start(&mut self, ended: bool) -> Step {
        let begun = self.held.trim_start();
        let spaces = self.held.len() - begun.len();
        match syntax::THOUGHTS[0] {
            open if self.thinks && begun.starts_with(open) => self.skip(spaces + open.len(), Place::ThoughtStart),
            open if self.thinks && open.starts_with(begun) && !ended => None,
            _ => self.opening(ended),
        }
    }

    fn thought_start(&mut self) -> Step {
        let spaces = self.held.len() - self.held.trim_start().len();
        let place = if spaces == self.held.len() { Place::ThoughtStart } else { Place::Thought };
        self.skip(spaces, place)
    }

    fn thought(&mut self, ended: bool) -> Step {
        let close = syntax::THOUGHTS[1];
        let said = match self.held.find(close) {
            Some(end) => match self.held[..end].trim_end().len() {
                0 => return self.skip(end + close.len(), Place::Between),
                said => said,
            },
            None if ended => self.held.len(),
            None => decided(&self.held, close),
        };
        (said > 0).then_some((said, Meaning::Reasoning))
    }

    fn between(&mut self, ended: bool) -> Step {
        let is_bare = self.calls == Some(CallSyntax::Bare);
        let rest = self.held.trim_start_matches(|c: char| c.is_whitespace() || (is_bare && c == ';'));
        match self.held.len() - rest.len() {
            0 => self.opening(ended),
            spaces => Some((spaces, Meaning::Nothing)),
        }
    }

    /// The first words of an answer, or those after a thought or a call. Only there may a call begin without its mark:
    /// models that have seen more code than calls write them as they write other JSON.
    fn opening(&mut self, ended: bool) -> Step {
        let begun = self.held.trim_start();
        let spaces = self.held.len() - begun.len();
        if self.calls == Some(CallSyntax::Bare) && begun.starts_with(syntax::PYTHON) {
            return self.skip(spaces + syntax::PYTHON.len(), Place::Between);
        }
        if self.calls.is_some() {
            for around in [syntax::FENCE, syntax::NOTHING] {
                if begun.strip_prefix(around[0]).is_some_and(|body| body.trim_start().starts_with('{')) {
                    self.around = around;
                    return self.skip(0, Place::Head);
                }
            }
            let may_come = |mark: &str| mark.starts_with(begun.trim_end());
            if !ended && (may_come(syntax::FENCE[0]) || may_come(syntax::PYTHON)) {
                return None;
            }
        }
        self.skip(0, Place::Text)
    }

    fn text(&mut self, ended: bool) -> Step {
        if self.calls != Some(CallSyntax::Marked) {
            return Some((self.held.len(), Meaning::Answer));
        }
        let said = match self.held.find(syntax::CALL[0]) {
            Some(at) => match self.held[..at].trim_end().len() {
                0 => {
                    self.around = syntax::CALL;
                    return self.skip(0, Place::Head);
                }
                said => said,
            },
            None if ended => self.held.len(),
            None => decided(&self.held, syntax::CALL[0]),
        };
        (said > 0).then_some((said, Meaning::Answer))
    }
}

/// Length of the text that can neither be the beginning of `mark` nor spaces before it.
fn decided(text: &str, mark: &str) -> usize {
    let longest = text.len().min(mark.len() - 1);
    let begun = (1..=longest).rev().find(|&n| text.ends_with(&mark[..n])).unwrap_or(0);
    text[..text.len() - begun].trim_end().len()
}
