//! A turn's whole answer, for clients that do not stream.

use crate::{admission::Permit, reading::Reading};
use protocol::{Citation, ErrorCode, Failure, FinishReason, Origin, TokenLogprob, ToolCall, TurnEvent, Usage};
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
    /// What the model thought, as far as it is shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reasoning: String,
    /// What the model wants to have called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall>,
    /// Whether it is not the model's answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) degraded: bool,
    /// Where it is from.
    #[serde(skip_serializing_if = "Origin::is_model")]
    pub(crate) origin: Origin,
}

impl Answer {
    /// Reads `turn` to its end, for which `permit` pays; fails as the turn does.
    pub(crate) async fn of(turn: &mut Reading, permit: &mut Permit) -> Result<Self, Failure> {
        let mut told = Vec::new();
        while let Some((_, event)) = turn.next().await {
            permit.see(&event);
            match event {
                TurnEvent::Finished {
                    text,
                    finish_reason,
                    usage,
                    citations,
                    reasoning,
                    tool_calls,
                    degraded,
                    origin,
                } => {
                    let logprobs = told;
                    return Ok(Self {
                        text,
                        finish_reason,
                        usage,
                        citations,
                        logprobs,
                        reasoning,
                        tool_calls,
                        degraded,
                        origin,
                    });
                }
                TurnEvent::Failed(failure) => return Err(failure),
                TurnEvent::Token { logprobs, .. } => told.extend(logprobs),
                TurnEvent::Retrieved { .. } | TurnEvent::Aside { .. } => {}
            }
        }
        let why = "the turn cannot be reached any more; send the message again";
        Err(Failure::new(ErrorCode::Unavailable, why))
    }
}
