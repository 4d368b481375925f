//! Which sampling parameters are acceptable.

use protocol::{Failure, Sampling};

/// Stop strings that a request may name.
const MAX_STOPS: usize = 16;
/// Bytes that a stop string may have; so much text may have to be held back.
const MAX_STOP_BYTES: usize = 256;

/// Refuses parameters that no engine can honour; the failure names the field.
pub(crate) fn check(sampling: &Sampling) -> Result<(), Failure> {
    let Sampling { max_tokens, temperature, top_p, stop, .. } = sampling;
    let wrong = |field: &str, expected: &str| Err(Failure::invalid(field, format!("{field} must be {expected}")));
    if *max_tokens == 0 {
        return wrong("max_tokens", "at least 1");
    }
    if !(0.0..=2.0).contains(temperature) {
        return wrong("temperature", "between 0 and 2");
    }
    if !(*top_p > 0.0 && *top_p <= 1.0) {
        return wrong("top_p", "greater than 0 and at most 1");
    }
    if stop.len() > MAX_STOPS || stop.iter().any(|text| text.is_empty() || text.len() > MAX_STOP_BYTES) {
        return wrong("stop", &format!("at most {MAX_STOPS} strings of 1 to {MAX_STOP_BYTES} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling() -> Sampling {
        Sampling { max_tokens: 1, temperature: 0.0, top_p: 1.0, seed: 0, stop: vec!["end".into()] }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        assert_eq!(check(&sampling()), Ok(()));
        let wrong = [
            ("max_tokens", Sampling { max_tokens: 0, ..sampling() }),
            ("temperature", Sampling { temperature: f32::NAN, ..sampling() }),
            ("temperature", Sampling { temperature: -0.1, ..sampling() }),
            ("top_p", Sampling { top_p: 0.0, ..sampling() }),
            ("top_p", Sampling { top_p: f32::NAN, ..sampling() }),
            ("stop", Sampling { stop: vec![String::new()], ..sampling() }),
            ("stop", Sampling { stop: vec!["x".repeat(257)], ..sampling() }),
        ];
        for (field, sampling) in wrong {
            assert_eq!(check(&sampling).unwrap_err().param.as_deref(), Some(field), "{sampling:?}");
        }
    }
}
