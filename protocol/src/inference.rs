//! Work for a GPU worker.

use crate::ChatMessage;
use serde::{Deserialize, Serialize};

/// Generate an answer to `messages`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceJob {
    /// The prompt, before the model's chat template.
    pub messages: Vec<ChatMessage>,
    /// The answer's beginning that the customer has already seen; generation continues after it and does not repeat it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// How to choose tokens and when to stop.
    pub sampling: Sampling,
}

/// How to choose tokens and when to stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Generate at most this many tokens (≥ 1).
    pub max_tokens: u32,
    /// 0 is greedy; 1 samples the model's own distribution.
    pub temperature: f32,
    /// Nucleus: the smallest set of tokens whose probabilities sum to this (0 < p ≤ 1).
    pub top_p: f32,
    /// Same seed, same model, same prompt: same answer.
    pub seed: u64,
    /// Generation ends before any of these would appear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}
