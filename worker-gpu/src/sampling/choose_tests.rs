use super::*;
use proptest::prelude::*;

/// Nothing but a temperature of 1.
const PLAIN: Draw = Draw { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, point: 0.0 };

fn draws(draw: &Draw, logits: &[f32], n: u64) -> Vec<u32> {
    (0..n).map(|at| choose(logits.to_vec(), &Draw { point: uniform(3, at), ..*draw }).unwrap()).collect()
}

fn seen(draw: &Draw, logits: &[f32], n: u64) -> Vec<u32> {
    let mut seen = draws(draw, logits, n);
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[test]
fn greedy_takes_the_first_of_the_greatest() {
    let greedy = Draw { temperature: 0.0, ..PLAIN };
    assert_eq!(choose(vec![0.1, 3.0, 3.0, f32::NAN], &greedy), Some(1));
}

#[test]
fn logits_without_a_number_are_told() {
    for logits in [vec![], vec![f32::NAN, f32::NAN], vec![f32::NEG_INFINITY]] {
        assert_eq!(choose(logits.clone(), &Draw { temperature: 0.0, ..PLAIN }), None);
        assert_eq!(choose(logits, &Draw { top_p: 0.9, ..PLAIN }), None);
    }
    assert_eq!(choose(vec![0.0, f32::INFINITY], &Draw { top_p: 0.9, ..PLAIN }), Some(1));
}

#[test]
fn shares_follow_the_softmax_and_the_temperature() {
    let logits = [0.0f32, 1.0, 2.0];
    for temperature in [0.5f32, 1.0, 2.0] {
        let weights: Vec<f64> = logits.iter().map(|l| f64::from(l / temperature).exp()).collect();
        let drawn = draws(&Draw { temperature, ..PLAIN }, &logits, 40_000);
        for (token, weight) in weights.iter().enumerate() {
            let share = drawn.iter().filter(|&&t| t as usize == token).count() as f64 / 40_000.0;
            assert!((share - weight / weights.iter().sum::<f64>()).abs() < 0.01, "{temperature} {token} {share}");
        }
    }
}

#[test]
fn each_cut_is_over_what_the_one_before_left() {
    let logits = [0.4f32, 0.3, 0.2, 0.1].map(f32::ln);
    assert_eq!(seen(&PLAIN, &logits, 2_000), [0, 1, 2, 3]);
    assert_eq!(seen(&Draw { top_p: 0.69, ..PLAIN }, &logits, 2_000), [0, 1]);
    assert_eq!(seen(&Draw { top_k: 3, ..PLAIN }, &logits, 2_000), [0, 1, 2]);
    assert_eq!(seen(&Draw { min_p: 0.49, ..PLAIN }, &logits, 2_000), [0, 1, 2]);
    // Of three tokens the first two hold 0.77, of all four 0.7.
    assert_eq!(seen(&Draw { top_p: 0.75, ..PLAIN }, &logits, 2_000), [0, 1, 2]);
    assert_eq!(seen(&Draw { top_k: 3, top_p: 0.75, ..PLAIN }, &logits, 2_000), [0, 1]);
    assert_eq!(seen(&Draw { min_p: 0.6, top_p: 0.75, ..PLAIN }, &logits, 2_000), [0, 1]);
    assert_eq!(seen(&Draw { min_p: 0.3, top_p: 0.75, ..PLAIN }, &logits, 2_000), [0, 1, 2]);
}

#[test]
fn a_flat_nucleus_is_wider_than_the_first_guess() {
    assert_eq!(seen(&Draw { top_p: 0.5, ..PLAIN }, &[0.0; 1_000], 20_000).len(), 500);
}

/// As [`choose`], by sorting everything.
fn plainly(logits: &[f32], draw: &Draw) -> u32 {
    let max = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut left: Vec<(u32, f64)> =
        (0..).zip(logits).map(|(token, logit)| (token, f64::from(((logit - max) / draw.temperature).exp()))).collect();
    if draw.top_k > 0 || draw.top_p < 1.0 || draw.min_p > 0.0 {
        left.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        left.truncate(if draw.top_k > 0 { draw.top_k as usize } else { left.len() });
        let wanted = left.iter().map(|(_, weight)| weight).sum::<f64>() * f64::from(draw.top_p);
        let mut sum = 0.0;
        let covered = left.iter().position(|(_, weight)| {
            sum += weight;
            sum >= wanted
        });
        left.truncate(covered.map_or(left.len(), |last| last + 1));
        left.retain(|(_, weight)| *weight >= f64::from(draw.min_p));
    }
    let point = draw.point * left.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut sum = 0.0;
    let drawn = left.iter().find(|(_, weight)| {
        sum += weight;
        sum > point
    });
    drawn.or(left.last()).unwrap().0
}

proptest! {
    #[test]
    fn the_quick_way_is_the_plain_way(
        // Without equals: which of them a sum in another order covers is a matter of rounding.
        logits in prop::collection::hash_set(-120_000i32..120_000, 1..400),
        spread in 1e-5f32..1e-3, temperature in 0.1f32..2.0,
        top_k in prop_oneof![Just(0u32), 1u32..80], top_p in prop_oneof![Just(1.0f32), 0.05f32..1.0],
        min_p in prop_oneof![Just(0.0f32), 0.0f32..0.5], point in 0.0f64..1.0,
    ) {
        let logits: Vec<f32> = logits.into_iter().map(|logit| logit as f32 * spread).collect();
        let draw = Draw { temperature, top_k, top_p, min_p, point };
        prop_assert_eq!(choose(logits.clone(), &draw), Some(plainly(&logits, &draw)));
    }
}
