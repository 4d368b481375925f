//! Scores made comparable: how likely something answers a question.
//!
//! A score is only worth what it meant on questions whose answer is known. The [`Features`] of a match go into a logistic
//! model whose coefficients were fitted on labelled questions; each embedder has its own, for cosines of different models are
//! not comparable, and each script, for a model that joins two has two scales. Embedders that were never measured get
//! cautious ones.

mod fitted;

use crate::segment::is_han;

/// What is known of a match before it is judged; each about 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Features {
    /// Cosine of the question and the best match.
    pub closeness: f32,
    /// By how much the best match is closer than the next one.
    pub margin: f32,
    /// Share of the question's terms that the best matches hold, each weighted by how rare it is.
    pub covered: f32,
    /// Share of the match's own terms that the question holds, weighted likewise: the wording of a curated question, or the
    /// best single passage's share of the question.
    pub shared: f32,
    /// How far words and meaning agree on what is best: 1 if both put the same first.
    pub agreement: f32,
}

impl Features {
    /// In the order of the fields.
    pub fn values(self) -> [f32; 5] {
        let Self { closeness, margin, covered, shared, agreement } = self;
        [closeness, margin, covered, shared, agreement]
    }
}

/// A logistic model: `1 / (1 + exp(-(bias + weights · features)))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logistic {
    /// The log-odds where all features are 0.
    pub bias: f32,
    /// In the order of [`Features`]' fields.
    pub weights: [f32; 5],
}

impl Logistic {
    /// The probability, 0 to 1, that the match is right.
    pub fn probability(&self, features: Features) -> f32 {
        let odds: f32 =
            self.bias + self.weights.iter().zip(features.values()).map(|(weight, value)| weight * value).sum::<f32>();
        1.0 / (1.0 + (-odds).exp())
    }
}

/// The share of `terms`, by weight, that `holds` tells of; 0 where there are none.
pub fn share(terms: &[(String, f32)], holds: impl Fn(&str) -> bool) -> f32 {
    let all: f32 = terms.iter().map(|(_, weight)| weight).sum();
    let held: f32 = terms.iter().filter(|(term, _)| holds(term)).map(|(_, weight)| weight).sum();
    if all > 0.0 { held / all } else { 0.0 }
}

/// The models of one embedder and one script.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Models {
    /// Whether a curated answer answers the question.
    pub faq: Logistic,
    /// Whether passages answer the question.
    pub passages: Logistic,
}

/// The models of one embedder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    chinese: Models,
    other: Models,
}

impl Calibration {
    /// That of the embedder with this id, of which only the models' names count, not their hashes.
    pub fn of(embedder: &str) -> Self {
        let names: Vec<&str> = embedder.split('+').map(|part| part.split(':').next().unwrap_or(part)).collect();
        fitted::of(&names.join("+"))
    }

    /// The models for a question.
    pub fn models(&self, question: &str) -> &Models {
        if question.chars().any(is_han) { &self.chinese } else { &self.other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRONG: Features = Features { closeness: 0.95, margin: 0.3, covered: 1.0, shared: 1.0, agreement: 1.0 };

    #[test]
    fn every_embedder_tells_a_strong_match_from_none() {
        for id in ["bge-small-zh-v1.5:ab+all-MiniLM-L6-v2:cd", "hashing:v1", "never-measured:ef"] {
            let calibration = Calibration::of(id);
            for question in ["如何重置密码", "reset it"] {
                let Models { faq, passages } = calibration.models(question);
                let (sure, unsure) = (faq.probability(STRONG), faq.probability(Features::default()));
                assert!(sure > 0.9 && unsure < 0.1, "{id} {question}: curated {sure} {unsure}");
                let (sure, unsure) = (passages.probability(STRONG), passages.probability(Features::default()));
                assert!(sure > 0.8 && unsure < 0.2, "{id} {question}: passages {sure} {unsure}");
            }
        }
    }
}
