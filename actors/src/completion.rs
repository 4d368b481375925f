//! A stateless call, as the gateway hands it over.

use protocol::ChatMessage;

/// A stateless call.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The whole conversation. With `knowledge` the last message is the customer's, and system messages join the persona.
    pub messages: Vec<ChatMessage>,
    /// Whether to retrieve for the last message and to add the persona and the passages; else the bare model answers.
    pub knowledge: bool,
    /// What the client asks of the sampling.
    pub sampling: SamplingRequest,
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
    /// Same seed, same answer.
    pub seed: Option<u64>,
    /// Generation ends before any of these would appear.
    pub stop: Vec<String>,
}
