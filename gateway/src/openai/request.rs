//! What a client asks for.

use super::{
    messages,
    parameters::{self, unsupported},
    sampling, tools,
};
use crate::body;
use actors::{Completion, SamplingRequest};
use protocol::{ChatMessage, Failure, Priority, Role, Tools};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Wire {
    model: String,
    messages: Vec<Map<String, Value>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    tools: Option<Value>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    chat_template_kwargs: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: Option<bool>,
    include_obfuscation: Option<bool>,
}

/// A checked request.
#[derive(Debug)]
pub(super) struct Request {
    /// The model's name as the client wrote it.
    pub(super) model: String,
    /// Answer in chunks.
    pub(super) stream: bool,
    /// Give the usage in a chunk of its own.
    pub(super) include_usage: bool,
    /// Tell how likely the tokens were.
    pub(super) logprobs: bool,
    messages: Vec<ChatMessage>,
    sampling: SamplingRequest,
    priority: Priority,
    tools: Tools,
    thinking: Option<bool>,
}

impl Request {
    /// Reads a body; the failure names the parameter.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        parameters::check(&body::parse(bytes)?)?;
        let wire: Wire = body::parse(bytes)?;
        if wire.messages.is_empty() {
            return Err(Failure::invalid("messages", "messages is empty: write at least one"));
        }
        let options = wire.stream_options.as_ref();
        if options.and_then(|options| options.include_obfuscation) == Some(true) {
            return Err(unsupported("stream_options.include_obfuscation", "only false is supported"));
        }
        let (sampling, priority) = sampling::read(bytes)?;
        Ok(Self {
            stream: wire.stream.unwrap_or_default(),
            include_usage: options.and_then(|options| options.include_usage).unwrap_or_default(),
            messages: messages::read(&wire.messages)?,
            logprobs: sampling.logprobs.is_some(),
            sampling,
            priority,
            tools: tools::read(wire.tools.as_ref(), wire.tool_choice.as_ref(), wire.parallel_tool_calls)?,
            thinking: tools::thinking(wire.chat_template_kwargs.as_ref())?,
            model: wire.model,
        })
    }

    /// The turn to run; with `knowledge` there must be a question to look up.
    pub(super) fn into_completion(self, knowledge: bool) -> Result<Completion, Failure> {
        if knowledge && !self.tools.is_empty() {
            return Err(unsupported(
                "tools",
                "the model \"frontdesk\" calls no tools; ask another one of GET /v1/models",
            ));
        }
        let uses_tools = |message: &ChatMessage| message.role == Role::Tool || !message.tool_calls.is_empty();
        if let Some(at) = self.messages.iter().position(uses_tools).filter(|_| knowledge) {
            let why = "the model \"frontdesk\" takes no tool calls; ask another one of GET /v1/models";
            return Err(unsupported(&format!("messages[{at}]"), why));
        }
        let asked = self.messages.iter().rposition(|message| message.role == Role::User);
        let Some(asked) = asked else {
            return Err(Failure::invalid("messages", "messages has no message of the role \"user\""));
        };
        if self.messages[asked].content.trim().is_empty() {
            return Err(Failure::invalid(
                &format!("messages[{asked}].content"),
                "the content is empty: write a message",
            ));
        }
        let Self { messages, sampling, priority, tools, thinking, .. } = self;
        Ok(Completion { messages, knowledge, sampling, priority, tools, thinking, deadline_ms: None })
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
