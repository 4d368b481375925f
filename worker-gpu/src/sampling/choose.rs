//! Which token: temperature, then top-k, top-p and min-p, each over what the one before left, then the draw.
//!
//! A device that chooses by itself does the same. Where nothing is left out, probabilities are cumulated in the order of
//! the vocabulary; else from the likeliest on, of equals in the order of the vocabulary.

use crate::local::Draw;
use std::cmp::Ordering;

/// Least weights of the tokens that are looked at first and second, before all are; the likeliest has weight 1.
const FLOORS: [f32; 2] = [1.0 / 256.0, 1.0 / 65_536.0];
/// So few tokens are rather sorted than halved.
const SORTED: usize = 64;
/// Sums and maxima are kept in so many lanes, for the processor's vector units.
const LANES: usize = 16;

/// The token that `draw` chooses; `None` when the logits hold no number.
pub(super) fn choose(mut logits: Vec<f32>, draw: &Draw) -> Option<u32> {
    let max = greatest(&logits);
    let best = logits.iter().position(|logit| *logit == max).filter(|_| max > f32::NEG_INFINITY)? as u32;
    if draw.temperature <= 0.0 {
        return Some(best);
    }
    weigh(&mut logits, max, draw.temperature);
    let weights = logits;
    let chosen = if draw.top_k == 0 && draw.top_p >= 1.0 && draw.min_p == 0.0 {
        at((0u32..).zip(weights.iter().copied()), draw.point * total(weights.iter().copied()))
    } else {
        let mut left = left(&weights, draw);
        let target = draw.point * sum(&weights, &left);
        let reached = prefix(&weights, &mut left, |sum| sum > target);
        left.get(reached.saturating_sub(1)).copied()
    };
    Some(chosen.unwrap_or(best))
}

/// The greatest number; minus infinity when there is none.
pub(super) fn greatest(logits: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in logits.chunks(LANES) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &logit)| *lane = if logit > *lane { logit } else { *lane });
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Turns logits into unnormalised probabilities; the greatest is 1.
fn weigh(logits: &mut [f32], max: f32, temperature: f32) {
    let weight = |logit: f32| match (logit.is_nan(), max == f32::INFINITY) {
        (true, _) => 0.0,
        (false, true) => f32::from(u8::from(logit == max)),
        (false, false) => ((logit - max) / temperature).exp(),
    };
    logits.iter_mut().for_each(|logit| *logit = weight(*logit));
}

/// The tokens that top-k, top-p and min-p leave, unsorted.
fn left(weights: &[f32], draw: &Draw) -> Vec<u32> {
    let all = (draw.top_k == 0).then(|| total(weights.iter().copied()));
    let mut left = candidates(weights, draw, all);
    if draw.top_k > 0 {
        keep(weights, &mut left, draw.top_k as usize);
    }
    let wanted = all.unwrap_or_else(|| sum(weights, &left)) * f64::from(draw.top_p);
    let nucleus = prefix(weights, &mut left, |sum| sum >= wanted);
    left.truncate(nucleus);
    left.retain(|&token| weights[token as usize] >= draw.min_p);
    left
}

/// Tokens among which are all that will be left, unsorted; mostly far fewer than the vocabulary.
fn candidates(weights: &[f32], draw: &Draw, all: Option<f64>) -> Vec<u32> {
    let above = |floor: f32| (0u32..).zip(weights).filter(move |(_, weight)| **weight >= floor).map(|(token, _)| token);
    for floor in FLOORS {
        let found: Vec<u32> = above(floor).collect();
        let suffices = match all {
            Some(all) => floor <= draw.min_p || sum(weights, &found) >= all * f64::from(draw.top_p),
            None => found.len() >= draw.top_k as usize,
        };
        if suffices {
            return found;
        }
    }
    above(0.0).collect()
}

/// Leaves the `count` likeliest, unsorted.
fn keep(weights: &[f32], order: &mut Vec<u32>, count: usize) {
    if count < order.len() {
        order.select_nth_unstable_by(count, heavier(weights));
        order.truncate(count);
    }
}

/// How many of the likeliest tokens it takes until their sum `suffices`; all, where rounding leaves too little. They are
/// put first, and of them the least likely last. Only the part that matters is sorted.
fn prefix(weights: &[f32], order: &mut [u32], suffices: impl Fn(f64) -> bool) -> usize {
    let (mut low, mut high, mut before) = (0, order.len(), 0.0);
    while high - low > SORTED {
        let half = (high - low) / 2;
        order[low..high].select_nth_unstable_by(half, heavier(weights));
        let with = before + sum(weights, &order[low..low + half]);
        if suffices(with) {
            high = low + half;
        } else {
            (low, before) = (low + half, with);
        }
    }
    order[low..high].sort_unstable_by(heavier(weights));
    for (place, token) in order.iter().enumerate().take(high).skip(low) {
        before += f64::from(weights[*token as usize]);
        if suffices(before) {
            return place + 1;
        }
    }
    high
}

fn heavier(weights: &[f32]) -> impl Fn(&u32, &u32) -> Ordering {
    |a, b| {
        let (left, right) = (weights[*a as usize], weights[*b as usize]);
        right.partial_cmp(&left).unwrap_or(Ordering::Equal).then(a.cmp(b))
    }
}

/// The token in whose share of the line `point` lies.
fn at(tokens: impl Iterator<Item = (u32, f32)>, point: f64) -> Option<u32> {
    let mut sum = 0.0;
    let mut last = None;
    for (token, weight) in tokens.filter(|(_, weight)| *weight > 0.0) {
        sum += f64::from(weight);
        last = Some(token);
        if sum > point {
            break;
        }
    }
    last
}

fn total(weights: impl Iterator<Item = f32>) -> f64 {
    weights.map(f64::from).sum()
}

fn sum(weights: &[f32], tokens: &[u32]) -> f64 {
    total(tokens.iter().map(|&token| weights[token as usize]))
}

/// A number in [0, 1) from seed and position: two rounds of the SplitMix64 mixer.
pub(super) fn uniform(seed: u64, position: u64) -> f64 {
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
#[path = "choose_tests.rs"]
mod tests;
