//! A whole answer in OpenAI's words.

use super::logprobs;
use crate::answer::Answer;
use protocol::{Citation, FinishReason, JobId, Origin, ToolCall, ToolCallDelta, Usage};
use serde_json::{Value, json};

/// What every object of one answer begins with.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// The turn.
    pub(super) job: JobId,
    /// Seconds since the epoch.
    pub(super) created: u64,
    /// The model as the client named it.
    pub(super) model: String,
}

impl Head {
    /// An object of the kind `kind` with the given choices.
    pub(super) fn object(&self, kind: &str, choices: Value) -> Value {
        let id = format!("chatcmpl-{}", self.job);
        json!({"id": id, "object": kind, "created": self.created, "model": self.model, "choices": choices})
    }
}

/// The `chat.completion` object.
pub(super) fn completion(head: &Head, answer: &Answer, logprobs: bool) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text, "refusal": null});
    if !answer.tool_calls.is_empty() {
        message["tool_calls"] = answer.tool_calls.iter().map(tool_call).collect();
        if answer.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    if !answer.reasoning.is_empty() {
        message["reasoning_content"] = json!(answer.reasoning);
    }
    let reason = finish_reason(answer.finish_reason);
    let logprobs = logprobs.then(|| logprobs::object(&answer.logprobs));
    let choice = json!({"index": 0, "message": message, "logprobs": logprobs, "finish_reason": reason});
    let mut object = head.object("chat.completion", json!([choice]));
    object["usage"] = usage(answer.usage);
    cite(&mut object, &answer.citations);
    mark(&mut object, answer.degraded, answer.origin);
    object
}

fn tool_call(call: &ToolCall) -> Value {
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
}

/// A piece of a call as a chunk has it: the first one says what it is.
pub(super) fn tool_call_delta(piece: &ToolCallDelta) -> Value {
    let mut function = json!({"arguments": piece.arguments});
    let Some(name) = &piece.name else {
        return json!({"index": piece.index, "function": function});
    };
    function["name"] = json!(name);
    json!({"index": piece.index, "id": piece.id, "type": "function", "function": function})
}

/// Adds what the answer refers to, where it refers to something: a field beside OpenAI's own.
pub(super) fn cite(object: &mut Value, citations: &[Citation]) {
    if !citations.is_empty() {
        object["citations"] = json!(citations);
    }
}

/// Says that the answer is not the model's, where it is not, and where it is from: fields beside OpenAI's own.
pub(super) fn mark(object: &mut Value, degraded: bool, origin: Origin) {
    if degraded {
        object["degraded"] = json!(true);
    }
    if !origin.is_model() {
        object["origin"] = json!(origin);
    }
}

/// The usage object.
pub(super) fn usage(usage: Usage) -> Value {
    let total = u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens);
    json!({"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total})
}

/// OpenAI has no word for an answer that somebody stopped.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Cancelled => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}
