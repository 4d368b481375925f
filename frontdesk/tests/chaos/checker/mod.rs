//! Judges a record. Pure: it asks nobody and knows nothing of how the record came about.

mod kept;
mod shown;
#[cfg(test)]
mod tests;

use crate::record::Conversation;
use std::fmt;

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An accepted message is answered, and the answer is kept.
    NothingLost,
    /// A message has one answer.
    OneAnswer,
    /// Every view of an answer is the same, with no piece twice and none missing.
    WholeAnswer,
    /// What is kept only grows.
    NoStaleWrite,
    /// Messages are answered in the order in which they were accepted.
    Order,
    /// An answer belongs to its question, and to its tenant.
    OwnAnswer,
    /// When the faults are over every message is served.
    Recovery,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    pub session: String,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = f.precision().unwrap_or(usize::MAX);
        write!(f, "{:?} in {}: {:.most$}", self.promise, self.session, self.detail)
    }
}

/// Gathers the findings of one conversation.
struct Findings<'a> {
    conversation: &'a Conversation,
    found: Vec<Violation>,
}

impl Findings<'_> {
    fn add(&mut self, promise: Promise, detail: String) {
        self.found.push(Violation { promise, session: self.conversation.session.clone(), detail });
    }
}

/// Everything that is wrong with `conversations`.
pub fn check(conversations: &[Conversation]) -> Vec<Violation> {
    conversations.iter().flat_map(one).collect()
}

fn one(conversation: &Conversation) -> Vec<Violation> {
    let mut findings = Findings { conversation, found: Vec::new() };
    for message in &conversation.messages {
        shown::check(message, &mut findings);
        kept::check(message, &mut findings);
    }
    kept::order(&mut findings);
    kept::growth(&mut findings);
    findings.found
}

/// Before and after a mark's own letters; no other word has it.
const MARK: &str = "zq";

/// The mark of a message. `name` is of letters and digits.
pub fn mark(name: &str) -> String {
    format!("{MARK}{name}{MARK}")
}

/// Every mark in `text`.
fn marks(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() > 2 * MARK.len() && word.starts_with(MARK) && word.ends_with(MARK))
}

/// What is wrong with `answer` as an answer of the echo engine to `text`.
fn mismatch(answer: &str, text: &str, mark: &str, is_degraded: bool) -> Option<String> {
    if let Some(other) = marks(answer).find(|other| *other != mark) {
        return Some(format!("the answer to {mark} holds {other}: {answer:?}"));
    }
    if is_degraded {
        return None;
    }
    // What follows is the prompt's own word on what was found.
    let rest = answer.strip_prefix("echo: ").and_then(|rest| rest.strip_prefix(text));
    let is_whole = rest.is_some_and(|rest| rest.starts_with("\n\n(") && rest.ends_with(')') && !rest.contains("echo:"));
    (!is_whole).then(|| format!("this does not answer {text:?}: {answer:?}"))
}
