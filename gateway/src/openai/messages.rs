//! The conversation as a client sends it.

use super::parameters::unsupported;
use protocol::{ChatMessage, Failure, Role, ToolCall};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Reads the messages in order; the failure names the field. A result must follow the call that it answers.
pub(super) fn read(maps: &[Map<String, Value>]) -> Result<Vec<ChatMessage>, Failure> {
    let mut called = HashSet::new();
    let mut messages = Vec::with_capacity(maps.len());
    for (at, map) in maps.iter().enumerate() {
        let message = message(at, map)?;
        if let Some(id) = message.tool_call_id.as_ref().filter(|id| !called.contains(*id)) {
            let shown: String = id.chars().take(100).collect();
            let why = format!("no message before this one has a tool call with the id {shown:?}");
            return Err(Failure::invalid(&format!("messages[{at}].tool_call_id"), why));
        }
        called.extend(message.tool_calls.iter().map(|call| call.id.clone()));
        messages.push(message);
    }
    Ok(messages)
}

fn message(at: usize, map: &Map<String, Value>) -> Result<ChatMessage, Failure> {
    let param = |field: &str| format!("messages[{at}].{field}");
    let role = role(map.get("role"), &param("role"))?;
    let own = |name: &str| match role {
        Role::Assistant => matches!(name, "tool_calls" | "reasoning_content"),
        Role::Tool => name == "tool_call_id",
        Role::System | Role::User => false,
    };
    let readable = |name: &str| matches!(name, "role" | "content" | "name") || own(name);
    if let Some((name, _)) = map.iter().find(|(name, value)| !readable(name) && !is_nothing(value)) {
        return Err(unsupported(&param(name), "this part of a message is not supported; leave it out"));
    }
    let tool_calls = calls(map.get("tool_calls"), &param("tool_calls"))?;
    let said = map.get("content").unwrap_or(&Value::Null);
    // Who calls need not say anything.
    let content =
        if said.is_null() && !tool_calls.is_empty() { String::new() } else { content(said, &param("content"))? };
    let reasoning = text(map.get("reasoning_content"), &param("reasoning_content"))?.unwrap_or_default();
    let tool_call_id = text(map.get("tool_call_id"), &param("tool_call_id"))?;
    if role == Role::Tool && tool_call_id.is_none() {
        return Err(Failure::invalid(&param("tool_call_id"), "missing: say which call this is the result of"));
    }
    Ok(ChatMessage { role, content, reasoning, tool_calls, tool_call_id })
}

fn role(value: Option<&Value>, param: &str) -> Result<Role, Failure> {
    match value.and_then(Value::as_str) {
        Some("system" | "developer") => Ok(Role::System),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool") => Ok(Role::Tool),
        Some("function") => Err(unsupported(param, "use the role \"tool\" for a result")),
        _ => {
            let expected = "expected \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"";
            Err(Failure::invalid(param, expected))
        }
    }
}

/// Clients send back an answer with all its fields, most of them empty.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn text(value: Option<&Value>, param: &str) -> Result<Option<String>, Failure> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Failure::invalid(param, format!("{param}: expected a string"))),
    }
}

fn calls(value: Option<&Value>, param: &str) -> Result<Vec<ToolCall>, Failure> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(calls)) => {
            calls.iter().enumerate().map(|(at, value)| call(value, &format!("{param}[{at}]"))).collect()
        }
        Some(_) => Err(Failure::invalid(param, format!("{param}: expected a list of calls"))),
    }
}

fn call(value: &Value, param: &str) -> Result<ToolCall, Failure> {
    let field = |value: &Value, field: &str| {
        let found = value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        found.map(str::to_string).ok_or_else(|| {
            let param = format!("{param}.{}", if field == "id" { "id".into() } else { format!("function.{field}") });
            Failure::invalid(&param, format!("{param}: expected a string that is not empty"))
        })
    };
    if value.get("type").is_some_and(|kind| kind != "function") {
        return Err(unsupported(param, "only calls of the type \"function\" are supported"));
    }
    let function = value.get("function").unwrap_or(&Value::Null);
    Ok(ToolCall { id: field(value, "id")?, name: field(function, "name")?, arguments: field(function, "arguments")? })
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
