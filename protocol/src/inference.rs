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
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "Priority::is_default")]
    pub priority: Priority,
    /// The tenant's share of a worker in relation to others', at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
}

/// How urgent a job is, the most urgent first. A worker starts urgent ones before others, but keeps none waiting for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody is waiting for the answer.
    #[default]
    Interactive,
    /// It was begun before and lost its worker.
    Retry,
    /// Nobody is looking.
    Batch,
}

impl Priority {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn one() -> u32 {
    1
}

fn is_one(weight: &u32) -> bool {
    *weight == 1
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
