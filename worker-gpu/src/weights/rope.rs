//! How far rotary embeddings turn per position.

use std::f64::consts::TAU;

/// How angles were changed to reach a longer context than that of the first training.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scaling {
    None,
    /// All angles are divided.
    Linear(f64),
    /// Angles that turn slowly are divided, quick ones stay, and those between are interpolated.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
}

/// Radians per position of each of the `turned / 2` pairs.
pub(super) fn frequencies(base: f64, turned: usize, scaling: &Scaling) -> Vec<f64> {
    (0..turned / 2).map(|pair| scaled(base.powf(-2.0 * pair as f64 / turned as f64), scaling)).collect()
}

fn scaled(frequency: f64, scaling: &Scaling) -> f64 {
    match *scaling {
        Scaling::None => frequency,
        Scaling::Linear(factor) => frequency / factor,
        Scaling::Llama3 { factor, low, high, original } => {
            // How often the pair goes round within the first training's context.
            let rounds = original * frequency / TAU;
            let kept = ((rounds - low) / (high - low)).clamp(0.0, 1.0);
            frequency * (kept + (1.0 - kept) / factor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_angles_are_divided_and_quick_ones_stay() {
        let plain = frequencies(10_000.0, 8, &Scaling::None);
        plain.iter().zip([1.0, 0.1, 0.01, 0.001]).for_each(|(found, is)| assert!((found - is).abs() < 1e-12));
        assert_eq!(frequencies(10_000.0, 8, &Scaling::Linear(2.0))[0], 0.5);
        // Rounds within 256 positions: 40.7, 4.07, 0.407, 0.0407.
        let llama = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 5.0, original: 256.0 };
        let found = frequencies(10_000.0, 8, &llama);
        let kept = (256.0 * 0.1 / TAU - 1.0) / 4.0;
        let expected = [1.0, 0.1 * (kept + (1.0 - kept) / 8.0), 0.01 / 8.0, 0.001 / 8.0];
        found.iter().zip(expected).for_each(|(found, is)| assert!((found - is).abs() < 1e-12, "{found} {is}"));
    }
}
