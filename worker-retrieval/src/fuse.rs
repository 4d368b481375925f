//! One ranking of two whose scores are not comparable.

use crate::index::Found;
use protocol::{DocumentId, Passage};
use std::collections::HashMap;

/// How two rankings become one: each passage scores the weighted sum of its scores in both, made comparable.
///
/// A cosine counts from 0, that of the last candidate, to 1, that of the first; BM25 in shares of the first one's. What a
/// ranking does not hold has 0 there. This convex combination keeps how far apart the scores are, which reciprocal rank
/// fusion forgets (S. Bruch, S. Gai, A. Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", 2022); on both
/// languages of InsuranceQA's validation questions it was the better one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blend {
    /// Weight of meaning, 0 to 1; words have the rest.
    pub meaning: f32,
}

impl Default for Blend {
    fn default() -> Self {
        Self { meaning: 0.7 }
    }
}

/// Fuses what was found, best first; the scores are the sums, 0 to 1. Among equals meaning decides.
pub fn blend(found: Found, Blend { meaning }: Blend) -> Vec<Passage> {
    let Found { by_text, by_vector, .. } = found;
    let lowest = if by_vector.len() > 1 { by_vector.last().map_or(0.0, |last| last.score) } else { 0.0 };
    let by_meaning = scaled(by_vector, lowest, meaning);
    let by_words = scaled(by_text, 0.0, 1.0 - meaning);
    let mut place: HashMap<(DocumentId, u32), usize> = HashMap::new();
    let mut fused: Vec<Passage> = Vec::new();
    for passage in by_meaning.chain(by_words) {
        match place.get(&(passage.document.clone(), passage.chunk)) {
            Some(&at) => fused[at].score += passage.score,
            None => {
                place.insert((passage.document.clone(), passage.chunk), fused.len());
                fused.push(passage);
            }
        }
    }
    fused.sort_by(|a, b| b.score.total_cmp(&a.score));
    fused
}

/// Scores from 0 at `lowest` to `weight` at the first one's.
fn scaled(ranking: Vec<Passage>, lowest: f32, weight: f32) -> impl Iterator<Item = Passage> {
    let span = ranking.first().map_or(0.0, |first| first.score - lowest);
    ranking.into_iter().map(move |passage| {
        // All the same: none is better than the first.
        let share = if span > 0.0 { (passage.score - lowest) / span } else { 1.0 };
        Passage { score: weight * share, ..passage }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(scores: &[(&str, f32)]) -> Vec<Passage> {
        let passage = |(id, score): &(&str, f32)| Passage {
            document: DocumentId::parse(*id).unwrap(),
            chunk: 0,
            title: String::new(),
            text: String::new(),
            score: *score,
        };
        scores.iter().map(passage).collect()
    }

    fn fused(by_vector: &[(&str, f32)], by_text: &[(&str, f32)]) -> Vec<(String, f32)> {
        let found = Found { by_vector: ranking(by_vector), by_text: ranking(by_text) };
        blend(found, Blend { meaning: 0.5 }).into_iter().map(|p| (p.document.to_string(), p.score)).collect()
    }

    #[test]
    fn what_both_rank_well_wins_and_distances_count() {
        let fused = fused(&[("a", 0.8), ("b", 0.78), ("c", 0.4)], &[("b", 20.0), ("d", 5.0)]);
        let order: Vec<_> = fused.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(order, ["b", "a", "d", "c"]);
        let expected = [0.5 * 0.95 + 0.5, 0.5, 0.5 * 0.25, 0.0];
        for ((id, score), expected) in fused.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-6, "{id}: {score} for {expected}");
        }
    }

    #[test]
    fn one_ranking_keeps_its_order_and_none_gives_none() {
        let order = |fused: Vec<(String, f32)>| fused.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(order(fused(&[("c", 0.5), ("a", 0.4), ("b", 0.1)], &[])), ["c", "a", "b"]);
        assert_eq!(order(fused(&[], &[("b", 3.0), ("a", 3.0)])), ["b", "a"]);
        assert_eq!(order(fused(&[("a", 0.5)], &[])), ["a"]);
        assert_eq!(fused(&[], &[]), []);
    }
}
