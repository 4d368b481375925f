//! What a client asks for.

use super::{
    parameters::{self, unsupported},
    sampling,
};
use crate::body;
use actors::{Completion, SamplingRequest};
use protocol::{ChatMessage, Failure, Priority, Role};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Wire {
    model: String,
    messages: Vec<Map<String, Value>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
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
            messages: wire.messages.iter().enumerate().map(|(at, map)| message(at, map)).collect::<Result<_, _>>()?,
            logprobs: sampling.logprobs.is_some(),
            sampling,
            priority,
            model: wire.model,
        })
    }

    /// The turn to run; with `knowledge` there must be a question to look up.
    pub(super) fn into_completion(self, knowledge: bool) -> Result<Completion, Failure> {
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
        Ok(Completion { messages: self.messages, knowledge, sampling: self.sampling, priority: self.priority })
    }
}

fn message(at: usize, map: &Map<String, Value>) -> Result<ChatMessage, Failure> {
    let param = |field: &str| format!("messages[{at}].{field}");
    let role = match map.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => return Err(unsupported(&param("role"), "tools are not supported")),
        _ => {
            return Err(Failure::invalid(
                &param("role"),
                "expected \"system\", \"developer\", \"user\" or \"assistant\"",
            ));
        }
    };
    let ignorable = |name: &str, value: &Value| matches!(name, "role" | "content" | "name") || is_nothing(value);
    if let Some((name, _)) = map.iter().find(|(name, value)| !ignorable(name, value)) {
        return Err(unsupported(&param(name), "this part of a message is not supported; leave it out"));
    }
    Ok(ChatMessage::new(role, content(map.get("content").unwrap_or(&Value::Null), &param("content"))?))
}

/// Clients send back an answer with all its fields, most of them empty.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn content(value: &Value, param: &str) -> Result<String, Failure> {
    let expected = || Failure::invalid(param, format!("{param}: expected a string or a list of text parts"));
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            parts.iter().enumerate().map(|(at, value)| part(value, &format!("{param}[{at}]"))).collect()
        }
        _ => Err(expected()),
    }
}

fn part(value: &Value, param: &str) -> Result<String, Failure> {
    match (value.get("type").and_then(Value::as_str), value.get("text").and_then(Value::as_str)) {
        (Some("text"), Some(text)) => Ok(text.to_string()),
        (Some(kind), _) if kind != "text" => Err(unsupported(param, "only parts of the type \"text\" are supported")),
        _ => Err(Failure::invalid(param, format!("{param}: expected {{\"type\": \"text\", \"text\": \"…\"}}"))),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
