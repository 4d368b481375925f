//! How likely the model finds tokens: logarithms of the softmax of its logits.

use super::choose::greatest;

/// A token's number and the logarithm of its probability.
pub(crate) type Scored = (u32, f32);

/// How likely the model found a token, and which ones it found likeliest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Likelihood {
    pub logprob: f32,
    /// The likeliest first; of equals the first.
    pub top: Vec<Scored>,
}

/// The model's own distribution in one position.
pub(super) struct Distribution {
    logits: Vec<f32>,
    /// Logarithm of the sum of the logits' exponentials.
    log_sum: f64,
    top: Vec<Scored>,
}

impl Distribution {
    /// With its `count` likeliest tokens.
    pub fn of(logits: Vec<f32>, count: usize) -> Self {
        let max = greatest(&logits);
        let sum: f64 = logits.iter().filter(|logit| !logit.is_nan()).map(|logit| f64::from((logit - max).exp())).sum();
        let log_sum = f64::from(max) + sum.ln();
        let top = top(&logits, count).into_iter().map(|(token, logit)| (token, logprob(logit, log_sum))).collect();
        Self { logits, log_sum, top }
    }

    /// What is told of `token`.
    pub fn likelihood(self, token: u32) -> Likelihood {
        let logit = self.logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        Likelihood { logprob: logprob(logit, self.log_sum), top: self.top }
    }
}

fn logprob(logit: f32, log_sum: f64) -> f32 {
    (f64::from(logit) - log_sum) as f32
}

/// The tokens with the greatest logits.
fn top(logits: &[f32], count: usize) -> Vec<Scored> {
    let mut top: Vec<Scored> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0u32..).zip(logits) {
        let least = if top.len() < count { f32::NEG_INFINITY } else { top.last().map_or(f32::INFINITY, |last| last.1) };
        if logit > least {
            let place = top.partition_point(|(_, above)| *above >= logit);
            top.insert(place, (token, logit));
            top.truncate(count);
        }
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_those_of_a_sorted_softmax(logits in prop::collection::vec(-30.0f32..30.0, 1..80), count in 0usize..21) {
            let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let mut expected: Vec<(u32, f64)> =
                (0u32..).zip(&logits).map(|(token, logit)| (token, (f64::from(*logit).exp() / sum).ln())).collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let found = Distribution::of(logits.clone(), count).likelihood(0).top;
            prop_assert_eq!(found.len(), count.min(logits.len()));
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert_eq!(found.0, expected.0);
                prop_assert!((f64::from(found.1) - expected.1).abs() < 1e-4, "{:?} {:?}", found, expected);
            }
        }
    }

    #[test]
    fn what_is_no_number_has_no_share() {
        let found = Distribution::of(vec![f32::NAN, 0.0, f32::NEG_INFINITY, 0.0], 4).likelihood(2);
        let half = -std::f32::consts::LN_2;
        assert_eq!(found, Likelihood { logprob: f32::NEG_INFINITY, top: vec![(1, half), (3, half)] });
    }
}
