//! A turn's whole answer, for clients that do not stream.

use crate::error;
use actors::TurnStream;
use protocol::{Citation, Failure, FinishReason, TurnEvent, Usage};
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
}

impl Answer {
    /// Reads `turn` to its end; fails as the turn does.
    pub(crate) async fn of(turn: &mut TurnStream) -> Result<Self, Failure> {
        while let Some((_, event)) = turn.next().await {
            match event {
                TurnEvent::Finished { text, finish_reason, usage, citations } => {
                    return Ok(Self { text, finish_reason, usage, citations });
                }
                TurnEvent::Failed(failure) => return Err(failure),
                TurnEvent::Retrieved { .. } | TurnEvent::Token { .. } => {}
            }
        }
        Err(error::internal("a turn without an end"))
    }
}
