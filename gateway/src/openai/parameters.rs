//! Which of OpenAI's parameters mean something here. What means nothing is refused, not ignored, unless it asks for
//! what happens anyway.

use super::sampling;
use protocol::{ErrorCode, Failure};
use serde_json::{Map, Value, json};

/// Parameters that [`super::request::Request`] reads.
const READ: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "chat_template_kwargs",
];

/// Parameters that change nothing in an answer.
const WITHOUT_EFFECT: &[&str] = &["user", "metadata", "safety_identifier", "prompt_cache_key"];

/// Whether `value` asks of the unsupported parameter `name` only for what is done anyway.
fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "n" => *value == json!(1),
        "store" => *value == json!(false),
        "functions" => *value == json!([]),
        "function_call" => *value == json!("none"),
        "modalities" => *value == json!(["text"]),
        _ => false,
    }
}

/// Refuses the first parameter of `body` that would be ignored.
pub(super) fn check(body: &Map<String, Value>) -> Result<(), Failure> {
    let harmless = |name: &str, value: &Value| {
        READ.contains(&name)
            || sampling::READ.contains(&name)
            || WITHOUT_EFFECT.contains(&name)
            || value.is_null()
            || is_default(name, value)
    };
    match body.iter().find(|(name, value)| !harmless(name, value)) {
        None => Ok(()),
        Some((name, _)) => Err(unsupported(name, "this value of the parameter is not supported; leave it out")),
    }
}

/// A refusal of the parameter `param`.
pub(super) fn unsupported(param: &str, why: &str) -> Failure {
    let param: String = param.chars().take(100).collect();
    Failure { code: ErrorCode::UnsupportedParameter, message: format!("{param}: {why}"), param: Some(param) }
}
