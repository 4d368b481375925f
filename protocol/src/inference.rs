//! Work for a GPU worker.

use crate::{ChatMessage, Sampling, Tools};
use serde::{Deserialize, Serialize};

/// Generate an answer to `messages`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceJob {
    /// The prompt, before the model's chat template.
    pub messages: Vec<ChatMessage>,
    /// The answer's beginning as the model wrote it (see [`crate::Aside::raw`]); generation continues after it and does not
    /// repeat it.
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
    /// What the model may ask to have called.
    #[serde(default, skip_serializing_if = "Tools::is_empty")]
    pub tools: Tools,
    /// Whether the model is to think before it answers; absent: as its chat template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
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
