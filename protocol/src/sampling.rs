//! How a worker is to choose tokens, and what it tells about the choice.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How to choose tokens and when to stop. The default is greedy, with nothing that bends the model's own distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Generate at most this many tokens (≥ 1).
    pub max_tokens: u32,
    /// 0 is greedy; 1 samples the model's own distribution.
    pub temperature: f32,
    /// Nucleus: the smallest set of tokens whose probabilities sum to this (0 < p ≤ 1).
    pub top_p: f32,
    /// Only so many of the likeliest tokens; 0: all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub top_k: u32,
    /// Only tokens at least this fraction as likely as the likeliest (0 ≤ p ≤ 1); 0: all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_p: f32,
    /// Divides the positive logits of tokens that prompt or answer hold, and multiplies their negative ones
    /// (<https://arxiv.org/abs/1909.05858> §4.1); 1: off.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub repetition_penalty: f32,
    /// Taken from the logits of tokens that the answer holds (-2 to 2); 0: off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub presence_penalty: f32,
    /// Taken from a token's logit for each time that the answer holds it (-2 to 2); 0: off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub frequency_penalty: f32,
    /// Added to the logits of tokens, by their number in the model's vocabulary (-100 to 100).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logit_bias: BTreeMap<u32, f32>,
    /// Same seed, same model, same prompt: same answer.
    pub seed: u64,
    /// Generation ends before any of these would appear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Generate `max_tokens` tokens even if the model would end its answer before, as benchmarks do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignore_eos: bool,
    /// Tell how likely each token was, beside so many of the likeliest (0 to 20).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u8>,
    /// What the answer must look like.
    #[serde(default, skip_serializing_if = "is_default")]
    pub format: Format,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_tokens: 256,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            seed: 0,
            stop: Vec::new(),
            ignore_eos: false,
            logprobs: None,
            format: Format::Text,
        }
    }
}

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Format {
    /// Anything.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that a schema describes.
    JsonSchema {
        /// The schema (<https://json-schema.org/draft/2020-12>).
        schema: Value,
    },
}

/// A generated token and how likely the model found it, before anything bent its distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token.
    #[serde(flatten)]
    pub chosen: Logprob,
    /// The likeliest tokens in its place, the likeliest first, as many as were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Logprob>,
}

/// How likely a token is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// Its text; bytes that are no whole character appear as U+FFFD.
    pub token: String,
    /// Its bytes where they are not those of `token`: it is a part of a character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
    /// Natural logarithm of its probability; [`Logprob::NEVER`] instead of minus infinity, which JSON cannot write.
    pub logprob: f32,
}

impl Logprob {
    /// Stands for the logarithm of 0, and is the least that is told.
    pub const NEVER: f32 = -9999.0;

    /// Of a token that stands for `bytes`.
    pub fn of_bytes(bytes: &[u8], logprob: f32) -> Self {
        let logprob = if logprob >= Self::NEVER { logprob } else { Self::NEVER };
        match std::str::from_utf8(bytes) {
            Ok(token) => Self { token: token.into(), bytes: None, logprob },
            Err(_) => Self { token: String::from_utf8_lossy(bytes).into_owned(), bytes: Some(bytes.to_vec()), logprob },
        }
    }

    /// The token's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.token.as_bytes())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> f32 {
    1.0
}

fn is_one(value: &f32) -> bool {
    *value == 1.0
}
