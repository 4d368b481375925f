//! A turn's whole answer, for clients that do not stream.

use crate::error;
use actors::TurnStream;
use protocol::{Citation, Failure, FinishReason, TokenLogprob, TurnEvent, Usage};
use serde::Serialize;

/// How a turn ended well.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// The whole text.
    pub(crate) text: String,
    /// Why it ended.
    pub(crate) finish_reason: FinishReason,
    /// Tokens of the turn.
    pub(crate) usage: Usage,
    /// What the text refers to.
    pub(crate) citations: Vec<Citation>,
    /// How likely its tokens were, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) logprobs: Vec<TokenLogprob>,
}

impl Answer {
    /// Reads `turn` to its end; fails as the turn does.
    pub(crate) async fn of(turn: &mut TurnStream) -> Result<Self, Failure> {
        let mut told = Vec::new();
        while let Some((_, event)) = turn.next().await {
            match event {
                TurnEvent::Finished { text, finish_reason, usage, citations } => {
                    return Ok(Self { text, finish_reason, usage, citations, logprobs: told });
                }
                TurnEvent::Failed(failure) => return Err(failure),
                TurnEvent::Token { logprobs, .. } => told.extend(logprobs),
                TurnEvent::Retrieved { .. } => {}
            }
        }
        Err(error::internal("a turn without an end"))
    }
}
