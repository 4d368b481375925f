//! A turn as the customer sees it.

use crate::{ClientMessageId, DocumentId, Failure, FinishReason, Lang, TokenLogprob, ToolCall, ToolCallDelta, Usage};
use serde::{Deserialize, Serialize};

/// A customer's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// What the customer wrote.
    pub content: String,
    /// The client's own id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// The answer's language; absent: that of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Lang>,
    /// Whether the session's turn that runs, and those that wait, are stopped in favour of this message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// The answer is of no use to the client after this many milliseconds; absent: the configured time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// One event of a turn. A turn is `Retrieved`, `Token`*, then exactly one `Finished` or `Failed`; between its tokens a
/// stateless call also has `Aside`s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnEvent {
    /// What the answer may cite.
    Retrieved {
        /// Numbered from 1 in order.
        citations: Vec<Citation>,
    },
    /// A piece of the answer to append.
    Token {
        /// Whole characters.
        text: String,
        /// How likely the text's tokens were, where that was asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        logprobs: Vec<TokenLogprob>,
    },
    /// What the model thinks or wants to have called, to append. Customers' sessions have none.
    Aside {
        /// Of the reasoning.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reasoning: String,
        /// Of the calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ToolCallDelta>,
    },
    /// The answer is complete and stored; one that was stopped before its first word is not stored.
    Finished {
        /// The whole answer.
        text: String,
        /// Why it ended.
        finish_reason: FinishReason,
        /// Tokens of the turn.
        usage: Usage,
        /// The citations that the text refers to.
        citations: Vec<Citation>,
        /// All of the reasoning that was shown.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reasoning: String,
        /// All of the calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
        /// Whether it is not the model's answer to the question but what can be said while the model, or retrieval, is out of
        /// reach: a curated answer, or a word about it and the offer of a person.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        degraded: bool,
        /// Where the answer is from.
        #[serde(default, skip_serializing_if = "Origin::is_model")]
        origin: Origin,
    },
    /// There is no answer.
    Failed(Failure),
}

/// Where an answer is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The model, from the passages it was given.
    #[default]
    Model,
    /// A curated answer, word by word.
    Faq,
    /// An answer that the model gave to the same question before.
    Cache,
    /// Nobody: the knowledge does not answer the question, which is what the customer is told.
    Abstained,
    /// A greeting or thanks, answered in kind.
    Courtesy,
}

impl Origin {
    /// Whether it is the model, as by default.
    pub fn is_model(&self) -> bool {
        *self == Self::Model
    }

    /// The name on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Faq => "faq",
            Self::Cache => "cache",
            Self::Abstained => "abstained",
            Self::Courtesy => "courtesy",
        }
    }
}

impl TurnEvent {
    /// A piece of an answer of which no logprobs are told.
    pub fn token(text: impl Into<String>) -> Self {
        TurnEvent::Token { text: text.into(), logprobs: Vec::new() }
    }

    /// Whether no event follows this one.
    pub fn is_last(&self) -> bool {
        matches!(self, TurnEvent::Finished { .. } | TurnEvent::Failed(_))
    }

    /// The event's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            TurnEvent::Retrieved { .. } => "retrieved",
            TurnEvent::Token { .. } => "token",
            TurnEvent::Aside { .. } => "aside",
            TurnEvent::Finished { .. } => "finished",
            TurnEvent::Failed(_) => "failed",
        }
    }
}

/// A passage that an answer may refer to as `[number]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// From 1.
    pub number: u32,
    /// The document it is from.
    pub document: DocumentId,
    /// The document's title and headings, or a curated question.
    pub title: String,
    /// The passage's text.
    pub passage: String,
    /// Fused relevance, higher is better.
    pub score: f32,
}
