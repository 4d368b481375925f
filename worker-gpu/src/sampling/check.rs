//! Which sampling parameters are acceptable.

use protocol::{Failure, Sampling};

/// Stop strings that a request may name.
const MAX_STOPS: usize = 16;
/// Bytes that a stop string may have; so much text may have to be held back.
const MAX_STOP_BYTES: usize = 256;
/// Tokens whose logits a request may change.
const MAX_BIASES: usize = 1024;
/// The largest repetition penalty: more forbids tokens altogether.
const MAX_REPETITION: f32 = 10.0;
/// Alternatives that may be told beside each token.
const MAX_LOGPROBS: u8 = 20;

/// Refuses parameters that no engine can honour; the failure names the field.
pub(crate) fn check(sampling: &Sampling) -> Result<(), Failure> {
    match rules(sampling).into_iter().find(|(_, holds, _)| !holds) {
        None => Ok(()),
        Some((field, _, expected)) => Err(Failure::invalid(field, format!("{field} must be {expected}"))),
    }
}

/// Field, whether its value is acceptable, and what would be.
fn rules(sampling: &Sampling) -> [(&'static str, bool, String); 10] {
    let within = |value: f32, low: f32, high: f32| (low..=high).contains(&value);
    let stop = |text: &String| (1..=MAX_STOP_BYTES).contains(&text.len());
    let (top_p, repetition) = (sampling.top_p, sampling.repetition_penalty);
    let (presence, frequency) = (sampling.presence_penalty, sampling.frequency_penalty);
    let bias = &sampling.logit_bias;
    let has_few_biases = bias.len() <= MAX_BIASES && bias.values().all(|bias| within(*bias, -100.0, 100.0));
    [
        ("max_tokens", sampling.max_tokens > 0, "at least 1".into()),
        ("temperature", within(sampling.temperature, 0.0, 2.0), "between 0 and 2".into()),
        ("top_p", top_p > 0.0 && top_p <= 1.0, "greater than 0 and at most 1".into()),
        ("min_p", within(sampling.min_p, 0.0, 1.0), "between 0 and 1".into()),
        (
            "repetition_penalty",
            repetition > 0.0 && repetition <= MAX_REPETITION,
            format!("greater than 0 and at most {MAX_REPETITION}"),
        ),
        ("presence_penalty", within(presence, -2.0, 2.0), "between -2 and 2".into()),
        ("frequency_penalty", within(frequency, -2.0, 2.0), "between -2 and 2".into()),
        ("logit_bias", has_few_biases, format!("at most {MAX_BIASES} numbers between -100 and 100")),
        ("top_logprobs", sampling.logprobs.is_none_or(|n| n <= MAX_LOGPROBS), format!("at most {MAX_LOGPROBS}")),
        (
            "stop",
            sampling.stop.len() <= MAX_STOPS && sampling.stop.iter().all(stop),
            format!("at most {MAX_STOPS} strings of 1 to {MAX_STOP_BYTES} bytes"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling() -> Sampling {
        Sampling { stop: vec!["end".into()], logprobs: Some(20), ..Sampling::default() }
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
            ("min_p", Sampling { min_p: 1.1, ..sampling() }),
            ("repetition_penalty", Sampling { repetition_penalty: 0.0, ..sampling() }),
            ("repetition_penalty", Sampling { repetition_penalty: f32::INFINITY, ..sampling() }),
            ("presence_penalty", Sampling { presence_penalty: 2.1, ..sampling() }),
            ("frequency_penalty", Sampling { frequency_penalty: f32::NAN, ..sampling() }),
            ("logit_bias", Sampling { logit_bias: [(1, 101.0)].into(), ..sampling() }),
            ("top_logprobs", Sampling { logprobs: Some(21), ..sampling() }),
            ("stop", Sampling { stop: vec![String::new()], ..sampling() }),
            ("stop", Sampling { stop: vec!["x".repeat(257)], ..sampling() }),
        ];
        for (field, sampling) in wrong {
            assert_eq!(check(&sampling).unwrap_err().param.as_deref(), Some(field), "{sampling:?}");
        }
    }
}
