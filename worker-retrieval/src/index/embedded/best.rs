//! The rows with the highest scores.

/// Keeps the best score of each of the best rows.
#[derive(Debug)]
pub struct Best {
    limit: usize,
    kept: Vec<(f32, u32)>,
    threshold: f32,
}

impl Best {
    /// At most `limit` rows (≥ 1).
    pub fn new(limit: usize) -> Self {
        Self { limit, kept: Vec::with_capacity(2 * limit), threshold: f32::NEG_INFINITY }
    }

    /// Only higher scores than this can still be among the best.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Takes a score that is higher than the threshold.
    pub fn offer(&mut self, score: f32, row: u32) {
        self.kept.push((score, row));
        if self.kept.len() >= 2 * self.limit {
            self.shrink();
        }
    }

    /// The rows, best first; equals in the order of their numbers.
    pub fn into_sorted(mut self) -> Vec<(f32, u32)> {
        self.shrink();
        self.kept.sort_unstable_by(descending);
        self.kept
    }

    fn shrink(&mut self) {
        self.kept.sort_unstable_by(|a, b| a.1.cmp(&b.1).then(b.0.total_cmp(&a.0)));
        self.kept.dedup_by_key(|(_, row)| *row);
        if self.kept.len() > self.limit {
            let (_, last, _) = self.kept.select_nth_unstable_by(self.limit - 1, descending);
            self.threshold = last.0;
            self.kept.truncate(self.limit);
        }
    }
}

fn descending(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_rows_are_kept_each_once() {
        let mut best = Best::new(3);
        for (score, row) in [(0.1, 1), (0.9, 2), (0.8, 2), (0.7, 2), (0.5, 3), (0.6, 4), (0.2, 5), (0.95, 2), (0.55, 6)]
        {
            if score > best.threshold() {
                best.offer(score, row);
            }
        }
        assert_eq!(best.into_sorted(), [(0.95, 2), (0.6, 4), (0.55, 6)]);
        assert_eq!(Best::new(2).into_sorted(), []);
    }
}
