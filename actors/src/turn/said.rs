//! What the model has said in a turn so far, and how another worker goes on from there.

use super::markers::Markers;
use protocol::{Aside, Citation, ToolCall};

/// What the jobs of a turn have generated.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The answer as it was shown.
    pub text: String,
    /// Reasoning that was shown.
    pub reasoning: String,
    /// Calls as far as they have come.
    pub calls: Vec<ToolCall>,
    /// All that was generated, as the model wrote it, without markers that were taken out.
    raw: String,
    /// Bytes of all that has come.
    pub bytes: usize,
    markers: Option<Markers>,
    is_lost: bool,
}

impl Said {
    /// Only markers of `given` stay in what is heard from now on.
    pub fn checks(&mut self, given: &[Citation]) {
        self.markers = Some(Markers::of(given));
    }

    /// Appends to the answer as it is.
    pub fn say(&mut self, text: &str) {
        self.text.push_str(text);
        self.raw.push_str(text);
        self.bytes += text.len();
    }

    /// Appends what a worker says, and returns what of it may be shown now.
    pub fn hear(&mut self, text: String) -> String {
        self.bytes += text.len();
        let shown = match &mut self.markers {
            Some(markers) => markers.push(&text),
            None => text,
        };
        self.show(shown)
    }

    /// Nothing follows for now: returns what was held back and may be shown.
    pub fn release(&mut self) -> String {
        let rest = self.markers.as_mut().map(Markers::release).unwrap_or_default();
        self.show(rest)
    }

    /// What is held back will never be shown.
    pub fn forget(&mut self) {
        self.markers.iter_mut().for_each(Markers::forget);
    }

    fn show(&mut self, text: String) -> String {
        self.text.push_str(&text);
        self.raw.push_str(&text);
        text
    }

    /// Appends what is not part of the answer; where it is not `shown`, it is only needed to go on.
    pub fn aside(&mut self, aside: &Aside, shown: bool) {
        let arguments: usize = aside.calls.iter().map(|call| call.arguments.len()).sum();
        self.bytes += aside.raw.len() + aside.reasoning.len() + arguments;
        self.raw.push_str(&aside.raw);
        // A server that does not tell what its calls look like cannot go on in the middle of one.
        self.is_lost |= aside.raw.is_empty() && !aside.calls.is_empty();
        if shown {
            self.reasoning.push_str(&aside.reasoning);
            aside.calls.iter().cloned().for_each(|call| call.join(&mut self.calls));
        }
    }

    /// Whether nothing has been shown.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty()
    }

    /// The beginning that another worker continues; `None`: it could not.
    pub fn prefix(&self) -> Option<String> {
        (!self.is_lost).then(|| self.raw.clone())
    }
}
