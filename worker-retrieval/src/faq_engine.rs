//! Finds the curated answer to a question, in this process: no server is asked.
//!
//! Words (BM25 over all wordings and, with less weight, the answer) and meaning (the cosine of the closest wording) name a few
//! candidates each. The one whose calibrated probability is highest is the match.

mod words;

use crate::{
    analyzer::{Script, normalize, query_terms},
    calibrate::{Calibration, Features, share},
};
use catalog::FaqEntry;
use protocol::FaqMatch;
use std::collections::{HashMap, HashSet};
use words::{Weighted, Words};

/// Entries of each ranking that are judged.
const CANDIDATES: usize = 4;
/// Summed apart, so that the compiler may add them side by side.
const LANES: usize = 8;

/// A tenant's curated answers in memory. It never changes: a new version of the knowledge is a new engine.
pub struct FaqEngine {
    entries: Vec<FaqEntry>,
    /// By the wording as [`bare`] writes it.
    exact: HashMap<String, usize>,
    /// Of each wording of each entry.
    wordings: Vec<Wording>,
    /// `None`: it could not be made, which is logged; meaning alone decides then.
    words: Option<Words>,
    calibration: Calibration,
}

struct Wording {
    entry: usize,
    terms: HashSet<String>,
    vector: Vec<f32>,
}

/// An entry's closest wording.
struct Close {
    entry: usize,
    wording: usize,
    cosine: f32,
}

impl FaqEngine {
    /// Takes the entries of one version, whose vectors `embedder` (its id) made.
    pub fn new(entries: Vec<FaqEntry>, embedder: &str) -> Self {
        let words = Words::new(&entries).inspect_err(|error| tracing::error!(%error, "no index of curated words"));
        let mut exact = HashMap::new();
        let mut wordings = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let texts = std::iter::once(&entry.question).chain(&entry.variants);
            for (text, vector) in texts.zip(&entry.vectors) {
                exact.entry(bare(text)).or_insert(at);
                wordings.push(Wording { entry: at, terms: terms(text), vector: vector.clone() });
            }
        }
        Self { entries, exact, wordings, words: words.ok(), calibration: Calibration::of(embedder) }
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The curated answer that most likely answers `text`, whose unit vector is `vector`, however unlikely that is.
    pub fn best(&self, text: &str, vector: &[f32]) -> Option<FaqMatch> {
        let judged = self.judge(text, vector).into_iter();
        judged.map(|(found, _)| found).max_by(|a, b| a.confidence.total_cmp(&b.confidence))
    }

    /// The candidates for `text` and what is known of each, closest first.
    pub fn judge(&self, text: &str, vector: &[f32]) -> Vec<(FaqMatch, Features)> {
        let model = &self.calibration.models(text).faq;
        let words = self.words.as_ref();
        let asked = words.and_then(|words| words.weighted(text).ok()).unwrap_or_default();
        let by_words = words.and_then(|words| words.best(&asked, CANDIDATES).ok()).unwrap_or_default();
        let same = self.exact.get(&bare(text));
        let closest = self.closest(vector);
        let named = closest.iter().enumerate().filter(|(rank, close)| {
            *rank < CANDIDATES || by_words.contains(&close.entry) || same == Some(&close.entry)
        });
        let first_by_words = by_words.first();
        named
            .map(|(_, close)| {
                let agreement = f32::from(u8::from(first_by_words == Some(&close.entry)));
                let features = Features { agreement, ..self.features(&asked, close, &closest) };
                let confidence = if same == Some(&close.entry) { 1.0 } else { model.probability(features) };
                (self.found(close, confidence), features)
            })
            .collect()
    }

    fn found(&self, close: &Close, confidence: f32) -> FaqMatch {
        let FaqEntry { document, position, question, answer, .. } = self.entries[close.entry].clone();
        FaqMatch { document, chunk: position, question, answer, score: close.cosine, confidence }
    }

    /// Every entry by its closest wording, closest first.
    fn closest(&self, vector: &[f32]) -> Vec<Close> {
        let mut closest: Vec<Close> = Vec::with_capacity(self.entries.len());
        for (at, wording) in self.wordings.iter().enumerate() {
            let close = Close { entry: wording.entry, wording: at, cosine: dot(&wording.vector, vector) };
            match closest.last_mut().filter(|last| last.entry == close.entry) {
                Some(last) if last.cosine >= close.cosine => {}
                Some(last) => *last = close,
                None => closest.push(close),
            }
        }
        closest.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        closest
    }

    fn features(&self, asked: &Weighted, close: &Close, closest: &[Close]) -> Features {
        let rival = closest.iter().find(|other| self.entries[other.entry].answer != self.entries[close.entry].answer);
        let margin = rival.map_or(1.0, |rival| close.cosine - rival.cosine);
        let wording = &self.wordings[close.wording];
        let shared = asked.iter().filter(|(term, _)| wording.terms.contains(term)).count();
        Features {
            closeness: close.cosine,
            margin,
            covered: share(asked, |term| wording.terms.contains(term)),
            shared: shared as f32 / wording.terms.len().max(1) as f32,
            agreement: 0.0,
        }
    }
}

/// A question without what does not change it: letters and digits in one form.
fn bare(text: &str) -> String {
    normalize(text).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn terms(text: &str) -> HashSet<String> {
    Script::ALL.into_iter().flat_map(|script| query_terms(script, text)).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests;
