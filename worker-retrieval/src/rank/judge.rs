//! What tells whether passages answer a question.

use crate::{
    analyzer::{Script, query_terms},
    calibrate::{Features, share},
    index::Found,
};
use protocol::Passage;

/// Passages that are judged together: an answer may be spread over a few.
const JUDGED: usize = 3;
/// Passages of each ranking that tell how rare a term is.
const SAMPLE: usize = 30;

/// What both rankings say before they are fused.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Cosines, highest first.
    cosines: Vec<f32>,
    /// Some of the passages, as [`plain`] writes them.
    sample: Vec<String>,
    agreement: f32,
}

impl Evidence {
    /// Keeps what will be needed.
    pub fn of(found: &Found) -> Self {
        let Found { by_vector, by_text, .. } = found;
        let by_text_only =
            by_text.iter().take(SAMPLE).filter(|passage| place(by_vector, passage).is_none_or(|at| at >= SAMPLE));
        let first = |of: &[Passage], within: &[Passage]| {
            let at = of.first().and_then(|first| place(within, first));
            at.map_or(0.0, |at| 1.0 / (at as f32 + 1.0))
        };
        Self {
            cosines: by_vector.iter().map(|passage| passage.score).collect(),
            sample: by_vector.iter().take(SAMPLE).chain(by_text_only).map(plain).collect(),
            agreement: (first(by_text, by_vector) + first(by_vector, by_text)) / 2.0,
        }
    }

    /// The features of `best`, the passages that are given; `None`: nothing was found.
    pub fn features(&self, question: &str, best: &[Passage]) -> Option<Features> {
        let closeness = *self.cosines.first()?;
        let asked = self.weighted(question);
        let best: Vec<String> = best.iter().take(JUDGED).map(plain).collect();
        let single = |passage: &String| share(&asked, |term| holds(passage, term));
        let usual = self.cosines.get(self.cosines.len() / 2).copied().unwrap_or(closeness);
        Some(Features {
            closeness,
            margin: closeness - usual,
            covered: share(&asked, |term| best.iter().any(|passage| holds(passage, term))),
            shared: best.iter().map(single).fold(0.0, f32::max),
            agreement: self.agreement,
        })
    }

    /// The question's terms by how rare they are among what was found; one that nothing holds weighs most.
    fn weighted(&self, question: &str) -> Vec<(String, f32)> {
        let count = self.sample.len() as f32;
        let terms = Script::ALL.into_iter().flat_map(|script| query_terms(script, question));
        terms
            .map(|term| {
                let holding = self.sample.iter().filter(|passage| holds(passage, &term)).count() as f32;
                let weight = (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln();
                (term, weight)
            })
            .collect()
    }
}

fn place(ranking: &[Passage], passage: &Passage) -> Option<usize> {
    ranking.iter().position(|other| other.chunk == passage.chunk && other.document == passage.document)
}

fn plain(passage: &Passage) -> String {
    format!("{}\n{}", passage.title, passage.text).to_ascii_lowercase()
}

/// Whether `text` has a word with the stem `term`: to cut every candidate into terms would cost more than the search.
fn holds(text: &str, term: &str) -> bool {
    // The stemmer writes `polici` for both `policy` and `policies`.
    let stem = term.strip_suffix('i').filter(|stem| stem.len() > 2).unwrap_or(term);
    let inside = |at: usize| stem.is_ascii() && text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
    text.match_indices(stem).any(|(at, _)| !inside(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_their_stems_and_not_inside_others() {
        let text = "our policies: resetting a lock （e204） 重置密码";
        for term in ["polici", "reset", "e204", "密码"] {
            assert!(holds(text, term), "{term}");
        }
        for term in ["set", "olici", "e205", "账号"] {
            assert!(!holds(text, term), "{term}");
        }
    }
}
