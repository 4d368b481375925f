//! What a question's passages are, of all that the index found by words and by meaning.
//!
//! Both rankings are [`fuse`]d, what repeats a better passage is dropped ([`duplicates`]), neighbouring pieces of a document
//! are [`join`]ed, and [`Calibration`] says how likely the outcome answers the question.

mod duplicates;
mod join;
pub mod judge;

use crate::{calibrate::Calibration, fuse, index::Found};
use duplicates::Seen;
use join::Joined;
use protocol::Passage;

/// For each passage that is wanted, this many of the best are looked at, to join neighbours and to replace what is dropped.
const LOOKED_AT: usize = 3;

/// Ranks what an index finds with the vectors of one embedder.
#[derive(Debug, Clone)]
pub struct Ranker {
    calibration: Calibration,
    blend: fuse::Blend,
}

/// The passages for a question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranked {
    /// Best first.
    pub passages: Vec<Passage>,
    /// How likely they answer the question, 0 to 1.
    pub confidence: f32,
}

impl Ranker {
    /// For the vectors of the embedder with this id.
    pub fn new(embedder: &str) -> Self {
        Self { calibration: Calibration::of(embedder), blend: fuse::Blend::default() }
    }

    /// The `top` passages for `question`, of what was found for it.
    pub fn rank(&self, found: Found, question: &str, top: usize) -> Ranked {
        let evidence = judge::Evidence::of(&found);
        self.settle(self.fuse(found), &evidence, question, top)
    }

    /// All that was found, fused, best first.
    pub fn fuse(&self, found: Found) -> Vec<Passage> {
        fuse::blend(found, self.blend)
    }

    /// Makes the answer of a ranking: what [`Ranker::rank`] does once it is fused, or reranked.
    pub fn settle(&self, ranking: Vec<Passage>, evidence: &judge::Evidence, question: &str, top: usize) -> Ranked {
        let passages = distinct(ranking, top);
        let features = evidence.features(question, &passages);
        let confidence =
            features.map_or(0.0, |features| self.calibration.models(question).passages.probability(features));
        Ranked { passages, confidence }
    }
}

/// The best `top` of `ranking`, none of which repeats a better one, neighbours as one.
fn distinct(ranking: Vec<Passage>, top: usize) -> Vec<Passage> {
    let mut seen = Seen::default();
    let mut kept: Vec<Joined> = Vec::new();
    for passage in ranking.into_iter().take(top.saturating_mul(LOOKED_AT)) {
        if !seen.is_new(&passage.text) {
            continue;
        }
        if !kept.iter_mut().any(|joined| joined.take(&passage)) && kept.len() < top {
            kept.push(Joined::new(passage));
        }
    }
    kept.into_iter().map(Joined::passage).collect()
}

#[cfg(test)]
mod tests;
