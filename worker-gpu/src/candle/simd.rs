//! Inner loops over floats, compiled once per instruction set and chosen at run time, so that a portable build is fast.

use crate::schedule::BLOCK;
use pulp::{Arch, Simd, WithSimd};

/// Values of a head that stay in registers while a block is summed.
const LANES: usize = 32;

/// `gate = silu(gate) * up`, element by element.
pub(crate) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    Arch::new().dispatch(SiluMul { gate, up });
}

struct SiluMul<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl WithSimd for SiluMul<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate / (1.0 + exp::<S>(-*gate)) * up;
        }
    }
}

/// `to = row / sqrt(mean(row²) + epsilon) * weight`.
pub(crate) fn rms_norm(row: &[f32], weight: &[f32], epsilon: f32, to: &mut [f32]) {
    Arch::new().dispatch(RmsNorm { row, weight, epsilon, to });
}

struct RmsNorm<'a> {
    row: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    to: &'a mut [f32],
}

impl WithSimd for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut lanes = [0.0f32; LANES];
        let (wide, rest) = self.row.as_chunks::<LANES>();
        for chunk in wide {
            lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane = madd::<S>(*value, *value, *lane));
        }
        lanes.iter_mut().zip(rest).for_each(|(lane, value)| *lane = madd::<S>(*value, *value, *lane));
        let mean = lanes.iter().sum::<f32>() / self.row.len() as f32;
        let scale = 1.0 / (mean + self.epsilon).sqrt();
        let rows = self.to.iter_mut().zip(self.row).zip(self.weight);
        rows.for_each(|((to, value), weight)| *to = value * scale * weight);
    }
}

/// Attention of some query rows of one KV head over a sequence's blocks, by an online softmax.
///
/// Rows never influence each other and blocks are fixed, so a row's result does not depend on what is computed beside it.
pub(crate) struct Attend<'a, B> {
    /// `rows * head_dim` floats, scaled.
    pub queries: &'a [f32],
    /// For each row, how many of the sequence's tokens it sees.
    pub visible: &'a [usize],
    pub head_dim: usize,
    /// Keys and values of each block in order.
    pub blocks: B,
    /// `rows * head_dim` zeros, replaced by the result.
    pub out: &'a mut [f32],
}

impl<'a, B: Iterator<Item = (&'a [f32], &'a [f32])>> Attend<'_, B> {
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<'a, B: Iterator<Item = (&'a [f32], &'a [f32])>> WithSimd for Attend<'_, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut max = vec![f32::NEG_INFINITY; self.visible.len()];
        let mut sum = vec![0.0f32; self.visible.len()];
        for (number, (keys, values)) in self.blocks.enumerate() {
            let rows = self.queries.chunks_exact(self.head_dim).zip(self.out.chunks_exact_mut(self.head_dim));
            for (row, (query, out)) in rows.enumerate() {
                let seen = self.visible[row].saturating_sub(number * BLOCK).min(BLOCK);
                if seen == 0 {
                    continue;
                }
                let mut weights = scores::<S>(query, keys);
                weights[seen..].fill(f32::NEG_INFINITY);
                let block_max = weights.iter().fold(max[row], |a, b| a.max(*b));
                let shrink = exp::<S>(max[row] - block_max);
                weights.iter_mut().for_each(|weight| *weight = exp::<S>(*weight - block_max));
                weights[seen..].fill(0.0);
                sum[row] = sum[row] * shrink + weights.iter().sum::<f32>();
                max[row] = block_max;
                add_values::<S>(out, shrink, &weights[..seen], values);
            }
        }
        for (out, sum) in self.out.chunks_exact_mut(self.head_dim).zip(sum) {
            out.iter_mut().for_each(|value| *value /= sum);
        }
    }
}

/// `query · key` for each key of a block.
#[inline(always)]
fn scores<S: Simd>(query: &[f32], keys: &[f32]) -> [f32; BLOCK] {
    let mut scores = [0.0f32; BLOCK];
    for (&q, keys) in query.iter().zip(keys.as_chunks::<BLOCK>().0) {
        for (score, key) in scores.iter_mut().zip(keys) {
            *score = madd::<S>(q, *key, *score);
        }
    }
    scores
}

/// `out = out * shrink + Σ weight · value`.
#[inline(always)]
fn add_values<S: Simd>(out: &mut [f32], shrink: f32, weights: &[f32], values: &[f32]) {
    let head_dim = out.len();
    let (wide, narrow) = out.as_chunks_mut::<LANES>();
    for (at, lanes) in wide.iter_mut().enumerate() {
        let mut sums = lanes.map(|lane| lane * shrink);
        for (weight, value) in weights.iter().zip(values.chunks_exact(head_dim)) {
            let value = &value[at * LANES..][..LANES];
            sums.iter_mut().zip(value).for_each(|(sum, value)| *sum = madd::<S>(*weight, *value, *sum));
        }
        *lanes = sums;
    }
    let from = head_dim - narrow.len();
    for (at, lane) in narrow.iter_mut().enumerate() {
        let column = values[from + at..].iter().step_by(head_dim);
        *lane = weights.iter().zip(column).fold(*lane * shrink, |sum, (weight, value)| madd::<S>(*weight, *value, sum));
    }
}

/// `a * b + c`; one instruction where there is one.
#[inline(always)]
fn madd<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

/// e^x to about 1e-7 of its value, without branches; 0 and infinity beyond the range.
#[inline(always)]
fn exp<S: Simd>(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = madd::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = madd::<S>(n, -0.693_145_75, x);
    let r = madd::<S>(n, -1.428_606_8e-6, r);
    let mut p = 1.388_888_9e-3;
    for coefficient in [8.333_334e-3, 4.166_666_8e-2, 1.666_666_7e-1, 0.5, 1.0, 1.0] {
        p = madd::<S>(p, r, coefficient);
    }
    let power = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    p * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp_is_close(x in -80.0f32..80.0) {
            let expected = f64::from(x).exp();
            for found in [exp::<pulp::Scalar>(x), ExpOf(x).dispatched()] {
                prop_assert!(((f64::from(found) - expected) / expected).abs() < 4e-7, "{} {}", x, found);
            }
        }
    }

    struct ExpOf(f32);
    impl ExpOf {
        fn dispatched(self) -> f32 {
            Arch::new().dispatch(self)
        }
    }
    impl WithSimd for ExpOf {
        type Output = f32;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> f32 {
            exp::<S>(self.0)
        }
    }

    #[test]
    fn masked_weights_vanish() {
        assert!(exp::<pulp::Scalar>(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn silu_mul_is_its_definition() {
        let gate: Vec<f32> = (0..1000).map(|n| (n as f32 - 500.0) / 40.0).collect();
        let up: Vec<f32> = gate.iter().map(|g| g * 0.5 - 1.0).collect();
        let mut found = gate.clone();
        silu_mul(&mut found, &up);
        for ((gate, up), found) in gate.iter().zip(&up).zip(found) {
            let expected = gate / (1.0 + (-gate).exp()) * up;
            assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn rms_norm_is_its_definition() {
        for width in [1, 31, 48, 1536] {
            let row: Vec<f32> = (0..width).map(|n| ((n * 37 % 101) as f32 - 50.0) / 25.0).collect();
            let weight: Vec<f32> = row.iter().map(|value| 1.0 + value * 0.1).collect();
            let mut found = vec![0.0; width];
            rms_norm(&row, &weight, 1e-5, &mut found);
            let mean = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / width as f64;
            for ((value, weight), found) in row.iter().zip(&weight).zip(found) {
                let expected = f64::from(*value) / (mean + 1e-5).sqrt() * f64::from(*weight);
                assert!((f64::from(found) - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}
