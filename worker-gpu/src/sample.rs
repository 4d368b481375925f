//! From logits to the next token. Pure: the same seed, position and logits give the same token.

use crate::local::Draw;
use protocol::Sampling;
use std::cmp::Ordering;

/// Candidates that are sorted at first when a nucleus is sought; widened until it is covered.
const NUCLEUS: usize = 64;

/// Chooses tokens of one sequence.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    temperature: f32,
    top_p: f32,
    seed: u64,
}

impl Sampler {
    pub fn new(sampling: &Sampling) -> Self {
        Self { temperature: sampling.temperature, top_p: sampling.top_p, seed: sampling.seed }
    }

    /// What a device needs to choose the token after `position` others.
    pub fn draw(&self, position: u64) -> Draw {
        let point = uniform(self.seed, position);
        Draw { temperature: self.temperature, top_k: 0, top_p: self.top_p, min_p: 0.0, point }
    }

    /// The token after `position` others; `None` when the logits hold no number.
    ///
    /// Randomness is drawn from seed and position alone, so neither the batch nor a restart in the middle changes it.
    pub fn next(&self, logits: &[f32], position: u64) -> Option<u32> {
        let best = argmax(logits)?;
        if self.temperature <= 0.0 {
            return Some(best as u32);
        }
        let point = uniform(self.seed, position);
        let weights = weights(logits, logits[best], self.temperature);
        let chosen = if self.top_p < 1.0 {
            in_nucleus(&weights, self.top_p, point)
        } else {
            at(weights.iter().copied().enumerate(), point * total(&weights))
        };
        Some(chosen.unwrap_or(best) as u32)
    }
}

/// The greatest number's place; the first of equals.
fn argmax(logits: &[f32]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (at, &logit) in logits.iter().enumerate() {
        if !logit.is_nan() && best.is_none_or(|best| logit > logits[best]) {
            best = Some(at);
        }
    }
    best.filter(|&at| logits[at] > f32::NEG_INFINITY)
}

/// Unnormalised probabilities; the greatest is 1.
fn weights(logits: &[f32], max: f32, temperature: f32) -> Vec<f32> {
    if max == f32::INFINITY {
        return logits.iter().map(|&logit| if logit == max { 1.0 } else { 0.0 }).collect();
    }
    let weight = |&logit: &f32| ((logit - max) / temperature).exp();
    logits.iter().map(|logit| if logit.is_nan() { 0.0 } else { weight(logit) }).collect()
}

fn in_nucleus(weights: &[f32], top_p: f32, point: f64) -> Option<usize> {
    let wanted = total(weights) * f64::from(top_p);
    let mut order: Vec<usize> = (0..weights.len()).collect();
    let heavier =
        |a: &usize, b: &usize| weights[*b].partial_cmp(&weights[*a]).unwrap_or(Ordering::Equal).then(a.cmp(b));
    let mut size = NUCLEUS.min(order.len());
    loop {
        if size < order.len() {
            order.select_nth_unstable_by(size, heavier);
        }
        order[..size].sort_unstable_by(heavier);
        let mut sum = 0.0;
        let covered = order[..size].iter().position(|&at| {
            sum += f64::from(weights[at]);
            sum >= wanted
        });
        if covered.is_some() || size == order.len() {
            let nucleus = &order[..covered.map_or(size, |last| last + 1)];
            return at(nucleus.iter().map(|&at| (at, weights[at])), point * sum);
        }
        size = (size * 8).min(order.len());
    }
}

/// The item in whose share of the line `point` lies.
fn at(items: impl Iterator<Item = (usize, f32)>, point: f64) -> Option<usize> {
    let mut sum = 0.0;
    let mut last = None;
    for (item, weight) in items.filter(|(_, weight)| *weight > 0.0) {
        sum += f64::from(weight);
        last = Some(item);
        if sum > point {
            break;
        }
    }
    last
}

fn total(weights: &[f32]) -> f64 {
    weights.iter().map(|&weight| f64::from(weight)).sum()
}

/// A number in [0, 1) from seed and position: two rounds of the SplitMix64 mixer.
fn uniform(seed: u64, position: u64) -> f64 {
    let bits = mix(mix(seed).wrapping_add(position));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sampler(temperature: f32, top_p: f32, seed: u64) -> Sampler {
        Sampler { temperature, top_p, seed }
    }

    fn draws(sampler: &Sampler, logits: &[f32], n: u64) -> Vec<u32> {
        (0..n).map(|position| sampler.next(logits, position).unwrap()).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_greatest() {
        assert_eq!(sampler(0.0, 1.0, 7).next(&[0.1, 3.0, 3.0, f32::NAN], 0), Some(1));
    }

    #[test]
    fn logits_without_a_number_are_told() {
        for logits in [&[][..], &[f32::NAN, f32::NAN], &[f32::NEG_INFINITY]] {
            assert_eq!(sampler(0.0, 1.0, 0).next(logits, 0), None);
            assert_eq!(sampler(1.0, 0.9, 0).next(logits, 0), None);
        }
        assert_eq!(sampler(1.0, 0.9, 0).next(&[0.0, f32::INFINITY], 0), Some(1));
    }

    #[test]
    fn shares_follow_the_softmax_and_the_temperature() {
        let logits = [0.0f32, 1.0, 2.0];
        for temperature in [0.5f32, 1.0, 2.0] {
            let weights: Vec<f64> = logits.iter().map(|l| f64::from(l / temperature).exp()).collect();
            let drawn = draws(&sampler(temperature, 1.0, 42), &logits, 40_000);
            for (token, weight) in weights.iter().enumerate() {
                let share = drawn.iter().filter(|&&t| t as usize == token).count() as f64 / 40_000.0;
                assert!((share - weight / weights.iter().sum::<f64>()).abs() < 0.01, "{temperature} {token} {share}");
            }
        }
    }

    #[test]
    fn a_nucleus_leaves_out_the_tail_and_no_more() {
        let logits = [0.5f32, 0.3, 0.15, 0.05].map(f32::ln);
        let mut seen = draws(&sampler(1.0, 0.79, 3), &logits, 5_000);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 1]);
    }

    #[test]
    fn a_flat_nucleus_is_wider_than_the_first_guess() {
        let logits = vec![0.0f32; 1_000];
        let mut seen = draws(&sampler(1.0, 0.5, 9), &logits, 20_000);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 500);
    }

    proptest! {
        #[test]
        fn seed_and_position_decide_alone(
            logits in prop::collection::vec(-5.0f32..5.0, 1..300),
            seed: u64, position in 0u64..1_000, temperature in 0.1f32..2.0, top_p in 0.05f32..1.0,
        ) {
            let sampler = sampler(temperature, top_p, seed);
            let first = sampler.next(&logits, position);
            prop_assert_eq!(first, sampler.clone().next(&logits, position));
            prop_assert!((first.unwrap() as usize) < logits.len());
        }
    }
}
