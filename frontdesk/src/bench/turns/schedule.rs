//! When requests are due, whatever the server does. Pure.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Due times from the beginning on, ascending.
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// `rate` requests per second for `length`, at even distances.
    pub fn even(rate: f64, length: Duration) -> Self {
        let count = (rate * length.as_secs_f64()).round() as u64;
        Self((0..count).map(|number| Duration::from_secs_f64(number as f64 / rate)).collect())
    }

    /// The same rate as a Poisson process: the distances are exponentially distributed.
    pub fn poisson(rate: f64, length: Duration, seed: u64) -> Self {
        let (mut random, mut at, mut due) = (StdRng::seed_from_u64(seed), 0.0, Vec::new());
        loop {
            at += -(1.0 - random.random::<f64>()).ln() / rate;
            if at >= length.as_secs_f64() {
                return Self(due);
            }
            due.push(Duration::from_secs_f64(at));
        }
    }

    /// When the request with this number is due; `None`: there is none.
    pub fn due(&self, number: usize) -> Option<Duration> {
        self.0.get(number).copied()
    }

    /// How many are due before `now`, counted on from `from`.
    pub fn due_by(&self, from: usize, now: Duration) -> usize {
        self.0[from..].iter().take_while(|due| **due <= now).count()
    }

    /// All of them.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_stated_rate() {
        let even = Schedule::even(1_000.0, Duration::from_secs(2));
        assert_eq!((even.len(), even.due(10), even.due(2_000)), (2_000, Some(Duration::from_millis(10)), None));
        assert_eq!((even.due_by(0, Duration::from_millis(10)), even.due_by(5, Duration::from_millis(10))), (11, 6));
        let poisson = Schedule::poisson(1_000.0, Duration::from_secs(20), 7);
        assert!((19_000..21_000).contains(&poisson.len()), "{}", poisson.len());
        let gaps: Vec<f64> = poisson.0.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "deviation and mean are the same");
    }
}
