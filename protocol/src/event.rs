//! What workers answer.

use crate::{
    DocumentInfo, DocumentReport, Failure, IngestReport, JobId, Retrieved, TokenLogprob, ToolCallDelta,
    UnansweredQuestion, VersionInfo, WorkerId,
};
use serde::{Deserialize, Serialize};

/// A batch of consecutive frames of one attempt at one job.
///
/// Event `i` of the batch has sequence number `seq + i`. Numbers start at 0 for each delivery and have no gaps, so a reader
/// drops what it has seen, and drops every frame of an older attempt. A job that was published twice is delivered twice
/// with the same attempt: their frames differ in `delivery`, and a reader follows one of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The job that is answered.
    pub job: JobId,
    /// Which delivery of the job this answers, from 0.
    pub attempt: u32,
    /// A number that the worker draws at random for each delivery it takes; 0 from older builds.
    #[serde(default)]
    pub delivery: u64,
    /// Sequence number of the first event.
    pub seq: u64,
    /// In order.
    pub events: Vec<Event>,
}

/// One frame of an answer. A stream is `Started`, `Token` and `Aside` in any order, then `Finished` or `Failed`; other jobs
/// answer with one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Generation has begun: the prompt is being prefilled.
    Started {
        /// Who does it.
        worker: WorkerId,
        /// The engine's name of the model.
        model: String,
        /// Prompt length in tokens, after the chat template.
        prompt_tokens: u32,
    },
    /// A piece of the answer; whole characters, possibly several tokens.
    Token {
        /// The text to append.
        text: String,
        /// Tokens generated since the last frame.
        tokens: u32,
        /// How likely the text's tokens were, where that was asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        logprobs: Vec<TokenLogprob>,
    },
    /// What was generated besides the answer's text.
    Aside(Aside),
    /// The answer is complete.
    Finished {
        /// Why generation ended.
        reason: FinishReason,
        /// Tokens of this attempt.
        usage: Usage,
    },
    /// What a [`crate::RetrievalJob`] found.
    Retrieved(Retrieved),
    /// The outcome of [`crate::KnowledgeJob::Put`].
    Ingested(DocumentReport),
    /// The outcome of [`crate::KnowledgeJob::Delete`].
    Deleted,
    /// The outcome of [`crate::KnowledgeJob::List`].
    Documents {
        /// By id.
        documents: Vec<DocumentInfo>,
    },
    /// The outcome of jobs on an ingest.
    Ingest(IngestReport),
    /// The outcome of [`crate::KnowledgeJob::Versions`] and of jobs that serve another version.
    Versions {
        /// Newest first.
        versions: Vec<VersionInfo>,
    },
    /// The outcome of [`crate::KnowledgeJob::Unanswered`] and [`crate::KnowledgeJob::Dismiss`].
    Unanswered {
        /// Those that are asked most first.
        questions: Vec<UnansweredQuestion>,
    },
    /// The job cannot be done.
    Failed(Failure),
}

impl Event {
    /// A piece of an answer of which no logprobs are told.
    pub fn token(text: impl Into<String>, tokens: u32) -> Self {
        Event::Token { text: text.into(), tokens, logprobs: Vec::new() }
    }
}

/// Reasoning, tool calls, and the marks around them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Aside {
    /// The generated text that this stands for. The texts of an answer's `Token`s and the `raw` of its `Aside`s, joined, are
    /// the [`crate::InferenceJob::prefix`] with which another worker continues: it reads the marks anew and so knows whether
    /// it is within a call. Empty from servers that do not tell: their calls cannot be continued.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub raw: String,
    /// What the model thinks, to append.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Pieces of calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCallDelta>,
    /// Tokens generated since the last frame.
    pub tokens: u32,
}

impl Aside {
    /// Appends what came directly after.
    pub fn join(&mut self, next: Aside) {
        self.raw.push_str(&next.raw);
        self.reasoning.push_str(&next.reasoning);
        self.tokens = self.tokens.saturating_add(next.tokens);
        for call in next.calls {
            match self.calls.last_mut() {
                Some(last) if last.index == call.index => last.arguments.push_str(&call.arguments),
                _ => self.calls.push(call),
            }
        }
    }
}

/// Why generation ended, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its answer, or a stop string appeared.
    Stop,
    /// `max_tokens` or the context length was reached.
    Length,
    /// Somebody asked to stop.
    Cancelled,
    /// The model awaits the results of its calls.
    ToolCalls,
}

/// Tokens consumed and produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens generated.
    pub completion_tokens: u32,
}
