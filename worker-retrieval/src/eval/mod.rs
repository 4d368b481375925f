//! How well retrieval finds what answers a question, and how well it knows that it does not.
//!
//! A [`Subject`] holds documents in an index of its own; [`evaluate`] asks it questions whose answers are known and ranks each
//! outcome in every [`Mode`]; [`judgements`] tells what is thought of each, for calibration.

mod abstention;
mod score;
mod subject;
mod text;

pub use abstention::{Abstention, Judgement, abstention, judgements};
pub use score::{Report, Score};
pub use subject::{EvalError, Subject};
pub use text::Text;

use protocol::{Lang, Passage};
use serde::Deserialize;
use std::fmt;

/// Ranks below this one count as not found.
const DEPTH: usize = 10;

/// A question and the passages that answer it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What a customer asks.
    pub question: String,
    /// Its language.
    pub lang: Lang,
    /// Any of these is right; none: the documents do not answer it.
    pub answers: Vec<Answer>,
}

/// A passage that answers a question.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The file name of its document.
    pub document: String,
    /// What its title or text contains.
    #[serde(default)]
    pub contains: String,
}

impl Answer {
    /// Whether the passage with this title and text, of the document called `document`, is it.
    fn is(&self, document: &str, title: &str, text: &str) -> bool {
        self.document == document && (text.contains(&self.contains) || title.contains(&self.contains))
    }
}

/// How to rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By words (BM25).
    Words,
    /// By meaning (cosine).
    Meaning,
    /// By both, fused.
    Hybrid,
    /// As hybrid, without repeats and with neighbours joined: what a customer's question gets.
    Given,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Words => "bm25",
            Mode::Meaning => "vectors",
            Mode::Hybrid => "hybrid",
            Mode::Given => "given",
        })
    }
}

/// Reads cases from JSON lines; the error names the line.
pub fn parse(lines: &str) -> Result<Vec<Case>, String> {
    let numbered = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    numbered.map(|(at, line)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))).collect()
}

/// Asks every question that has an answer and looks where it ranks, in each mode.
pub fn evaluate(subject: &Subject, cases: &[Case]) -> Result<Vec<Report>, EvalError> {
    let cases: Vec<&Case> = cases.iter().filter(|case| !case.answers.is_empty()).collect();
    let mut gains: Vec<Vec<Vec<bool>>> = vec![Vec::new(); subject.modes().len()];
    for case in &cases {
        let found = subject.find(&case.question)?;
        for (mode, gains) in subject.modes().iter().zip(&mut gains) {
            let passages = subject.rank(found.clone(), &case.question, *mode, DEPTH)?;
            gains.push(gain(subject, case, &passages));
        }
    }
    let report = |(mode, gains): (&Mode, &Vec<Vec<bool>>)| Report::new(*mode, &cases, gains);
    Ok(subject.modes().iter().zip(&gains).map(report).collect())
}

/// At which ranks an answer is met that no earlier one gave.
fn gain(subject: &Subject, case: &Case, passages: &[Passage]) -> Vec<bool> {
    let mut open: Vec<&Answer> = case.answers.iter().collect();
    let mut gain = |passage: &Passage| {
        let before = open.len();
        open.retain(|answer| !answer.is(subject.name(&passage.document), &passage.title, &passage.text));
        open.len() < before
    };
    passages.iter().take(DEPTH).map(&mut gain).collect()
}

#[cfg(test)]
mod tests;
