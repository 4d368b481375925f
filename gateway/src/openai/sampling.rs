//! The parameters of sampling: OpenAI's, and beside them those that vLLM's clients send.

use super::{parameters::unsupported, response_format};
use crate::body;
use actors::SamplingRequest;
use protocol::{Failure, Priority};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Display};

const STOPS_MAX: usize = 4;
const STOP_BYTES_MAX: usize = 256;
/// Tokens whose logits may be changed, as OpenAI bounds it.
const BIASES_MAX: usize = 300;
/// Above this, tokens are rather forbidden than made less likely.
const REPETITION_MAX: f32 = 10.0;

/// The parameters that [`read`] knows.
pub(super) const READ: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "stop",
    "ignore_eos",
    "logprobs",
    "top_logprobs",
    "response_format",
    "service_tier",
];

#[derive(Deserialize)]
struct Wire {
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<BTreeMap<u32, f32>>,
    seed: Option<i64>,
    stop: Option<Value>,
    ignore_eos: Option<bool>,
    logprobs: Option<bool>,
    top_logprobs: Option<u8>,
    response_format: Option<Value>,
    service_tier: Option<String>,
}

/// Reads them from a body, with how urgent the answer is; the failure names the parameter.
pub(super) fn read(bytes: &[u8]) -> Result<(SamplingRequest, Priority), Failure> {
    let wire: Wire = body::parse(bytes)?;
    check(&wire)?;
    let sampling = SamplingRequest {
        max_tokens: wire.max_completion_tokens.or(wire.max_tokens),
        temperature: wire.temperature,
        top_p: wire.top_p,
        top_k: wire.top_k.map(|k| u32::try_from(k).unwrap_or(0)),
        min_p: wire.min_p,
        repetition_penalty: wire.repetition_penalty,
        presence_penalty: wire.presence_penalty,
        frequency_penalty: wire.frequency_penalty,
        logprobs: logprobs(wire.logprobs, wire.top_logprobs)?,
        logit_bias: wire.logit_bias.unwrap_or_default(),
        seed: wire.seed.map(i64::cast_unsigned),
        stop: stops(wire.stop.as_ref())?,
        ignore_eos: wire.ignore_eos.unwrap_or_default(),
        format: response_format::read(wire.response_format)?,
    };
    Ok((sampling, priority(wire.service_tier.as_deref())?))
}

fn check(wire: &Wire) -> Result<(), Failure> {
    within("temperature", wire.temperature, |t| (0.0..=2.0).contains(&t), "0 to 2")?;
    within("top_p", wire.top_p, |p| p > 0.0 && p <= 1.0, "more than 0 and at most 1")?;
    within("top_k", wire.top_k, |k| k >= -1, "at least 1, or 0 or -1 for all tokens")?;
    within("min_p", wire.min_p, |p| (0.0..=1.0).contains(&p), "0 to 1")?;
    within("presence_penalty", wire.presence_penalty, |p| (-2.0..=2.0).contains(&p), "-2 to 2")?;
    within("frequency_penalty", wire.frequency_penalty, |p| (-2.0..=2.0).contains(&p), "-2 to 2")?;
    let repetition = |r| r > 0.0 && r <= REPETITION_MAX;
    within("repetition_penalty", wire.repetition_penalty, repetition, "more than 0 and at most 10")?;
    within("max_tokens", wire.max_tokens, |max| max >= 1, "at least 1")?;
    within("max_completion_tokens", wire.max_completion_tokens, |max| max >= 1, "at least 1")?;
    within("top_logprobs", wire.top_logprobs, |n| n <= 20, "0 to 20")?;
    let biases = wire.logit_bias.iter().flatten();
    within("logit_bias", Some(biases.clone().count()), |n| n <= BIASES_MAX, "at most 300 tokens")?;
    biases.into_iter().try_for_each(|(token, bias)| {
        within(&format!("logit_bias.{token}"), Some(*bias), |bias| (-100.0..=100.0).contains(&bias), "-100 to 100")
    })
}

fn within<T: Copy + Display>(
    name: &str,
    value: Option<T>,
    accepts: impl Fn(T) -> bool,
    expected: &str,
) -> Result<(), Failure> {
    match value {
        Some(value) if !accepts(value) => {
            Err(Failure::invalid(name, format!("{name} is {value}: expected {expected}")))
        }
        _ => Ok(()),
    }
}

fn logprobs(asked: Option<bool>, top: Option<u8>) -> Result<Option<u8>, Failure> {
    match (asked.unwrap_or_default(), top) {
        (true, top) => Ok(Some(top.unwrap_or_default())),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(Failure::invalid("top_logprobs", "top_logprobs needs logprobs: true")),
    }
}

fn priority(tier: Option<&str>) -> Result<Priority, Failure> {
    match tier {
        None | Some("auto" | "default") => Ok(Priority::Interactive),
        Some("flex") => Ok(Priority::Batch),
        Some(_) => Err(unsupported("service_tier", "only \"auto\", \"default\" and \"flex\" are supported")),
    }
}

fn stops(stop: Option<&Value>) -> Result<Vec<String>, Failure> {
    let given = match stop {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(many)) => many.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let sound = |stop: &&str| (1..=STOP_BYTES_MAX).contains(&stop.len());
    let texts: Option<Vec<_>> = given.iter().map(|stop| stop.as_str().filter(sound).map(str::to_string)).collect();
    texts.filter(|texts| texts.len() <= STOPS_MAX).ok_or_else(|| {
        let expected = format!("expected a string or up to {STOPS_MAX} of them, each of 1 to {STOP_BYTES_MAX} bytes");
        Failure::invalid("stop", expected)
    })
}
