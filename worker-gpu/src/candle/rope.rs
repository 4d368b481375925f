//! Rotary position embedding, as angles per position.

use crate::weights::Pairing;

/// Cosines and sines for every position of the context.
pub(crate) struct Rope {
    pairing: Pairing,
    /// Pairs of a head that turn; the elements beyond stay.
    pairs: usize,
    /// `[position][pair]` of (cos, sin).
    angles: Vec<(f32, f32)>,
}

impl Rope {
    /// `frequencies` holds each pair's angle per position, in radians.
    pub fn new(pairing: Pairing, frequencies: &[f64], positions: usize) -> Self {
        let angle = |position: usize, frequency: &f64| {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            (cos as f32, sin as f32)
        };
        let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| angle(p, f))).collect();
        Self { pairing, pairs: frequencies.len(), angles }
    }

    /// Turns one head of the token at `position`.
    pub fn turn(&self, head: &mut [f32], position: usize) {
        let angles = &self.angles[position * self.pairs..][..self.pairs];
        match self.pairing {
            Pairing::Halves => {
                let (low, high) = head[..2 * self.pairs].split_at_mut(self.pairs);
                low.iter_mut().zip(high).zip(angles).for_each(|((a, b), angle)| turn(a, b, angle));
            }
            Pairing::Neighbours => {
                let pairs = head.as_chunks_mut::<2>().0.iter_mut();
                pairs.zip(angles).for_each(|([a, b], angle)| turn(a, b, angle));
            }
        }
    }
}

fn turn(a: &mut f32, b: &mut f32, (cos, sin): &(f32, f32)) {
    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_moves_one_element_of_a_pair_to_the_other() {
        let quarter = [std::f64::consts::FRAC_PI_2, 0.0];
        for (pairing, expected) in
            [(Pairing::Halves, [-3.0, 2.0, 1.0, 4.0]), (Pairing::Neighbours, [-2.0, 1.0, 3.0, 4.0])]
        {
            let mut head = [1.0, 2.0, 3.0, 4.0];
            Rope::new(pairing, &quarter, 2).turn(&mut head, 1);
            head.iter().zip(expected).for_each(|(found, expected)| assert!((found - expected).abs() < 1e-6));
        }
    }
}
