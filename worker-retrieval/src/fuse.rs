//! Reciprocal rank fusion: one ranking of several whose scores are not comparable.

use std::{collections::HashMap, hash::Hash};

/// Dampens the lead of the first ranks; 60 as in G. Cormack, C. Clarke, S. Büttcher, "Reciprocal rank fusion outperforms
/// Condorcet and individual rank learning methods", SIGIR 2009.
pub const K: f32 = 60.0;

/// Fuses `rankings`, each best first, into one, best first: an item scores the sum of `1 / (K + rank)` over the rankings
/// that hold it, ranks from 1. Among equals the one that appears in the earlier ranking, and there earlier, goes first.
pub fn reciprocal_rank<T: Hash + Eq + Clone>(rankings: &[Vec<T>]) -> Vec<(T, f32)> {
    let mut place = HashMap::new();
    let mut fused: Vec<(T, f32)> = Vec::new();
    for ranking in rankings {
        for (rank, item) in ranking.iter().enumerate() {
            let at = *place.entry(item.clone()).or_insert_with(|| {
                fused.push((item.clone(), 0.0));
                fused.len() - 1
            });
            fused[at].1 += 1.0 / (K + rank as f32 + 1.0);
        }
    }
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_rank_well_wins() {
        let fused = reciprocal_rank(&[vec!["a", "b", "c"], vec!["b", "d"]]);
        assert_eq!(fused.iter().map(|(item, _)| *item).collect::<Vec<_>>(), ["b", "a", "d", "c"]);
        assert!((fused[0].1 - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-7);
    }

    #[test]
    fn one_ranking_keeps_its_order_and_none_gives_none() {
        assert_eq!(reciprocal_rank(&[vec![3, 1, 2], vec![]]).iter().map(|x| x.0).collect::<Vec<_>>(), [3, 1, 2]);
        assert_eq!(reciprocal_rank::<u8>(&[]), []);
    }
}
