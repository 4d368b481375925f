//! Functions of rows of floats, compiled once per instruction set and chosen at run time.

use super::isa::{Isa, Job, LANES, Processor};

/// `gate = silu(gate) * up`, element by element.
pub(crate) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    Processor::best().run(SiluMul { gate, up });
}

struct SiluMul<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Job for SiluMul<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate / (1.0 + exp(-*gate)) * up;
        }
    }
}

/// `to = row / sqrt(mean(row²) + epsilon) * weight`.
pub(crate) fn rms_norm(row: &[f32], weight: &[f32], epsilon: f32, to: &mut [f32]) {
    to.copy_from_slice(row);
    rms_norm_in_place(to, weight, epsilon);
}

/// `row = row / sqrt(mean(row²) + epsilon) * weight`.
pub(crate) fn rms_norm_in_place(row: &mut [f32], weight: &[f32], epsilon: f32) {
    Processor::best().run(RmsNorm { row, weight, epsilon });
}

struct RmsNorm<'a> {
    row: &'a mut [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl Job for RmsNorm<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let mut sums = [[0.0f32; LANES]; 2];
        let (wide, rest) = self.row.as_chunks::<{ 2 * LANES }>();
        for chunk in wide {
            add_squares(&mut sums[0], &chunk[..LANES]);
            add_squares(&mut sums[1], &chunk[LANES..]);
        }
        rest.chunks(LANES).for_each(|rest| add_squares(&mut sums[0], rest));
        let mean = sums.as_flattened().iter().sum::<f32>() / self.row.len() as f32;
        let scale = 1.0 / (mean + self.epsilon).sqrt();
        self.row.iter_mut().zip(self.weight).for_each(|(value, weight)| *value = *value * scale * weight);
    }
}

#[inline(always)]
fn add_squares(sums: &mut [f32; LANES], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = value.mul_add(*value, *sum));
}

/// e^x to about 1e-7 of its value, without branches; 0 and infinity beyond the range.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_145_75, x);
    let r = n.mul_add(-1.428_606_8e-6, r);
    let mut p = 1.388_888_9e-3f32;
    for coefficient in [8.333_334e-3, 4.166_666_8e-2, 1.666_666_7e-1, 0.5, 1.0, 1.0] {
        p = p.mul_add(r, coefficient);
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
            prop_assert!(((f64::from(exp(x)) - expected) / expected).abs() < 4e-7, "{} {}", x, exp(x));
        }
    }

    #[test]
    fn masked_weights_vanish() {
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
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
