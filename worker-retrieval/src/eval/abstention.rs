//! Whether retrieval knows what it does not know.

use super::{Case, EvalError, Subject};
use crate::calibrate::Features;
use crate::rank::judge::Evidence;
use serde::Serialize;
use std::fmt;

/// Passages that a question gets.
const TOP: usize = 5;

/// What is thought of one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// The question.
    pub question: String,
    /// Its language.
    pub lang: String,
    /// Whether the documents answer it.
    pub answerable: bool,
    /// Whether the match is a curated answer (else passages).
    pub curated: bool,
    /// Whether the match answers it: of passages, whether they were to be expected to.
    pub right: bool,
    /// What is known of the match, in the order of [`Features`]' fields.
    pub features: [f32; 5],
    /// What the calibration makes of it.
    pub confidence: f32,
}

/// What is judged of every question: its passages once, and each curated answer that comes near.
pub fn judgements(subject: &Subject, cases: &[Case]) -> Result<Vec<Judgement>, EvalError> {
    let mut judgements = Vec::new();
    for case in cases {
        let answerable = !case.answers.is_empty();
        let judgement = |curated, right, features: Features, confidence| Judgement {
            question: case.question.clone(),
            lang: case.lang.to_string(),
            answerable,
            curated,
            right,
            features: features.values(),
            confidence,
        };
        let found = subject.find(&case.question)?;
        let evidence = Evidence::of(&found);
        let ranked = subject.ranker().rank(found, &case.question, TOP);
        let features = evidence.features(&case.question, &ranked.passages).unwrap_or_default();
        judgements.push(judgement(false, answerable, features, ranked.confidence));
        for (found, features) in subject.faq().judge(&case.question, &subject.vector(&case.question)?) {
            let name = subject.name(&found.document);
            let right = case.answers.iter().any(|answer| answer.is(name, &found.question, &found.answer));
            judgements.push(judgement(true, right, features, found.confidence));
        }
    }
    Ok(judgements)
}

/// How often the right thing is done at given thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abstention {
    /// Questions that the documents do not answer.
    pub unanswerable: usize,
    /// Of these, below the floor.
    pub abstained: usize,
    /// Questions that they answer.
    pub answerable: usize,
    /// Of these, below the floor.
    pub wrongly_abstained: usize,
    /// Questions to which the right curated answer was given at once.
    pub curated_right: usize,
    /// Questions to which a wrong one was.
    pub curated_wrong: usize,
}

/// Counts what would be done: the best curated answer at once from `faq` on, else nothing below `floor`.
pub fn abstention(subject: &Subject, cases: &[Case], floor: f32, faq: f32) -> Result<Abstention, EvalError> {
    let mut counts = Abstention::default();
    for case in cases {
        let (ranked, best) = subject.answer(&case.question, TOP)?;
        let best = best.filter(|best| best.confidence >= faq);
        let right = best.as_ref().map(|best| {
            let name = subject.name(&best.document);
            case.answers.iter().any(|answer| answer.is(name, &best.question, &best.answer))
        });
        counts.curated_right += usize::from(right == Some(true));
        counts.curated_wrong += usize::from(right == Some(false));
        let abstains = right.is_none() && ranked.confidence < floor;
        if case.answers.is_empty() {
            counts.unanswerable += 1;
            counts.abstained += usize::from(abstains);
        } else {
            counts.answerable += 1;
            counts.wrongly_abstained += usize::from(abstains);
        }
    }
    Ok(counts)
}

impl fmt::Display for Abstention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unanswerable, abstained, answerable, wrongly_abstained, curated_right, curated_wrong } = self;
        let share = |part: &usize, all: &usize| 100.0 * *part as f64 / (*all).max(1) as f64;
        writeln!(f, "abstained: {abstained} of {unanswerable} unanswerable ({:.1} %)", share(abstained, unanswerable))?;
        writeln!(
            f,
            "wrongly:   {wrongly_abstained} of {answerable} answerable ({:.1} %)",
            share(wrongly_abstained, answerable)
        )?;
        writeln!(f, "curated:   {curated_right} right at once, {curated_wrong} wrong")
    }
}
