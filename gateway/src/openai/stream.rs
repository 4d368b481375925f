//! An answer in OpenAI's chunks: the first has the role, the last the finish reason, then the usage if it was asked for.

use super::{
    logprobs,
    response::{self, Head},
};
use crate::error;
use protocol::{FinishReason, TokenLogprob, ToolCallDelta, TurnEvent, Usage};
use serde_json::{Value, json};

const KIND: &str = "chat.completion.chunk";

/// Writes the events of one turn as chunks.
pub(super) struct Chunks {
    head: Head,
    include_usage: bool,
    begun: bool,
    has_text: bool,
}

impl Chunks {
    pub(super) fn new(head: Head, include_usage: bool) -> Self {
        Self { head, include_usage, begun: false, has_text: false }
    }

    /// What goes out for `event`.
    pub(super) fn encode(&mut self, event: TurnEvent) -> String {
        let mut out = String::new();
        if !std::mem::replace(&mut self.begun, true) && !matches!(event, TurnEvent::Failed(_)) {
            out += &self.chunk(json!({"role": "assistant", "content": ""}), None);
        }
        match event {
            TurnEvent::Retrieved { .. } => {}
            TurnEvent::Token { text, logprobs } => out += &self.text(&text, &logprobs),
            TurnEvent::Aside { reasoning, calls } => out += &self.aside(&reasoning, &calls),
            TurnEvent::Finished { text, finish_reason, usage, citations, degraded, origin, .. } => {
                // An answer that was not generated has no tokens to stream.
                if !self.has_text && !text.is_empty() {
                    out += &self.text(&text, &[]);
                }
                let mut last = self.object(json!([choice(json!({}), Some(finish_reason))]));
                response::cite(&mut last, &citations);
                response::mark(&mut last, degraded, origin);
                out += &self.end(&last, usage);
            }
            TurnEvent::Failed(failure) => out += &data(&error::object(&failure)),
        }
        out
    }

    fn text(&mut self, text: &str, logprobs: &[TokenLogprob]) -> String {
        self.has_text = true;
        let mut choice = choice(json!({"content": text}), None);
        if !logprobs.is_empty() {
            choice["logprobs"] = logprobs::object(logprobs);
        }
        data(&self.object(json!([choice])))
    }

    fn aside(&self, reasoning: &str, calls: &[ToolCallDelta]) -> String {
        let mut out = String::new();
        if !reasoning.is_empty() {
            out += &self.chunk(json!({"reasoning_content": reasoning}), None);
        }
        if !calls.is_empty() {
            let calls: Value = calls.iter().map(response::tool_call_delta).collect();
            out += &self.chunk(json!({"tool_calls": calls}), None);
        }
        out
    }

    fn end(&self, last: &Value, usage: Usage) -> String {
        let mut out = data(last);
        if self.include_usage {
            let mut object = self.object(json!([]));
            object["usage"] = response::usage(usage);
            out += &data(&object);
        }
        out + "data: [DONE]\n\n"
    }

    fn chunk(&self, delta: Value, reason: Option<FinishReason>) -> String {
        data(&self.object(json!([choice(delta, reason)])))
    }

    fn object(&self, choices: Value) -> Value {
        let mut object = self.head.object(KIND, choices);
        if self.include_usage {
            object["usage"] = Value::Null;
        }
        object
    }
}

fn choice(delta: Value, reason: Option<FinishReason>) -> Value {
    json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason.map(response::finish_reason)})
}

fn data(object: &Value) -> String {
    format!("data: {object}\n\n")
}
