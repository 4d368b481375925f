//! A stateless call, as the gateway hands it over.

use protocol::{ChatMessage, Format, Priority, Tools};
use std::collections::BTreeMap;

/// A stateless call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completion {
    /// The whole conversation. With `knowledge` the last message is the customer's, and system messages join the persona.
    pub messages: Vec<ChatMessage>,
    /// Whether to retrieve for the last message and to add the persona and the passages; else the bare model answers.
    pub knowledge: bool,
    /// What the client asks of the sampling.
    pub sampling: SamplingRequest,
    /// How urgent it is.
    pub priority: Priority,
    /// What the model may ask to have called; only the bare model calls.
    pub tools: Tools,
    /// Whether the model is to think before it answers; absent: the assistant does not, the bare model as it is used to.
    pub thinking: Option<bool>,
    /// The answer is of no use to the client after this many milliseconds; absent: the configured time.
    pub deadline_ms: Option<u64>,
}

/// What a client asks of the sampling; absent: the configured or usual value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplingRequest {
    /// Generate at most this many tokens (≥ 1).
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// Nucleus, 0 < p ≤ 1.
    pub top_p: Option<f32>,
    /// Only so many of the likeliest tokens; 0: all.
    pub top_k: Option<u32>,
    /// Only tokens at least this fraction as likely as the likeliest.
    pub min_p: Option<f32>,
    /// What tokens that prompt or answer hold lose by a factor; 1: nothing.
    pub repetition_penalty: Option<f32>,
    /// What tokens that the answer holds lose.
    pub presence_penalty: Option<f32>,
    /// What tokens lose for each time that the answer holds them.
    pub frequency_penalty: Option<f32>,
    /// What is added to tokens' logits.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Same seed, same answer.
    pub seed: Option<u64>,
    /// Generation ends before any of these would appear.
    pub stop: Vec<String>,
    /// Generate all of `max_tokens`, even if the model would end before.
    pub ignore_eos: bool,
    /// Tell how likely each token was, beside so many of the likeliest.
    pub logprobs: Option<u8>,
    /// What the answer must look like.
    pub format: Format,
}
