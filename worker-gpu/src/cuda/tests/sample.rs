//! Choosing tokens on the device: the same token as a plain reading of the rules.

use super::{Random, buffer, on_devices, unwritten};
use crate::{
    cuda::{device::Device, inputs::draw_words, kernels},
    local::Draw,
};
use std::sync::Arc;

/// The rules in f64: filters keep the likeliest of what the one before kept; the point lies in one token's share, the
/// tokens being in order of likelihood when any filter is set, else as numbered.
pub(super) fn expected(logits: &[f32], draw: Draw) -> i32 {
    let mut order: Vec<usize> = (0..logits.len()).filter(|&at| !logits[at].is_nan()).collect();
    order.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap().then(a.cmp(&b)));
    let Some(&best) = order.first().filter(|&&at| logits[at] > f32::NEG_INFINITY) else { return -1 };
    if draw.temperature == 0.0 {
        return best as i32;
    }
    let weight = |at: usize| match logits[at] == logits[best] {
        true => 1.0,
        false => (f64::from(logits[at] - logits[best]) / f64::from(draw.temperature)).exp(),
    };
    let sum = |order: &[usize]| order.iter().map(|&at| weight(at)).sum::<f64>();
    if draw.top_k > 0 {
        order.truncate(draw.top_k as usize);
    }
    if draw.top_p < 1.0 {
        let mut left = sum(&order) * f64::from(draw.top_p);
        let last = order.iter().position(|&at| {
            left -= weight(at);
            left <= 0.0
        });
        order.truncate(last.map_or(order.len(), |last| last + 1));
    }
    order.retain(|&at| weight(at) >= f64::from(draw.min_p));
    if draw.top_k == 0 && draw.top_p >= 1.0 && draw.min_p == 0.0 {
        order.sort_unstable();
    }
    let mut left = sum(&order) * draw.point;
    let chosen = order.iter().find(|&&at| {
        left -= weight(at);
        left < 0.0
    });
    chosen.copied().unwrap_or(best) as i32
}

/// Tokens for as many rows of logits as there are draws.
fn sample(device: &Arc<dyn Device>, logits: &[f32], draws: &[Draw]) -> Vec<i32> {
    let words: Vec<i32> = draws.iter().flat_map(|draw| draw_words(Some(draw))).collect();
    let tokens = unwritten::<i32>(device, draws.len());
    let vocabulary = logits.len() / draws.len();
    let (logits, words) = (buffer(device, logits), buffer(device, &words));
    kernels::sample(&**device, tokens.all(), logits.all(), words.all(), vocabulary).unwrap();
    tokens.read(0, draws.len()).unwrap()
}

fn draw(random: &mut Random) -> Draw {
    let maybe = |random: &mut Random, value: f64, or: f64| if random.below(2) == 0 { value } else { or };
    let (unit, other) = (random.unit(), random.unit());
    Draw {
        temperature: [0.0, 0.3, 1.0, 2.0][random.below(4)],
        top_k: if random.below(2) == 0 { 0 } else { 1 + random.below(60) as u32 },
        top_p: maybe(random, 0.05 + 0.94 * unit, 1.0) as f32,
        min_p: maybe(random, 0.5 * other * other, 0.0) as f32,
        point: random.unit(),
    }
}

#[test]
fn tokens_are_chosen_by_the_rules() {
    on_devices(|device, random| {
        for (vocabulary, spread) in [(1, 1.0), (70, 3.0), (1000, 8.0), (2500, 0.5)] {
            let draws: Vec<Draw> = (0..24).map(|_| draw(random)).collect();
            let logits: Vec<f32> = (0..draws.len() * vocabulary).map(|_| random.signed() * spread).collect();
            let found = sample(device, &logits, &draws);
            for ((found, logits), draw) in found.iter().zip(logits.chunks(vocabulary)).zip(&draws) {
                assert_eq!(*found, expected(logits, *draw), "{draw:?} of {vocabulary}");
            }
        }
    });
}

#[test]
fn equal_tokens_are_ordered_by_their_number() {
    on_devices(|device, random| {
        let logits: Vec<f32> = (0..600).map(|_| [1.0f32, 0.0, -0.0, -2.0][random.below(4)]).collect();
        for _ in 0..12 {
            let temperature = [0.0, 1.0][random.below(2)];
            let draw = Draw { temperature, min_p: 0.0, ..draw(random) };
            assert_eq!(sample(device, &logits, &[draw]), [expected(&logits, draw)], "{draw:?}");
        }
    });
}

#[test]
fn logits_without_a_number_are_told() {
    let draw = Draw { temperature: 1.0, top_k: 3, top_p: 0.9, min_p: 0.0, point: 0.5 };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    on_devices(|device, _| {
        let logits = [[nan, nan, nan], [-inf, -inf, nan], [0.0, inf, nan], [nan, -3.0, -inf]].concat();
        for draw in [draw, Draw { temperature: 0.0, ..draw }] {
            assert_eq!(sample(device, &logits, &[draw; 4]), [-1, -1, 1, 1]);
        }
    });
}
