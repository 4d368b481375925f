//! The functions that a client offers, and whether the model is to think.

use super::parameters::unsupported;
use protocol::{Failure, Tool, ToolChoice, Tools};
use serde_json::{Map, Value, json};

/// Functions that a request may offer.
const TOOLS_MAX: usize = 128;
/// Bytes of all of them, as JSON.
const TOOLS_BYTES_MAX: usize = 128 << 10;
const NAME_MAX: usize = 64;

/// Reads `tools`, `tool_choice` and `parallel_tool_calls`; the failure names the field.
pub(super) fn read(tools: Option<&Value>, choice: Option<&Value>, parallel: Option<bool>) -> Result<Tools, Failure> {
    let offered = offered(tools.unwrap_or(&Value::Null))?;
    let choice = chosen(choice.unwrap_or(&Value::Null), &offered)?;
    let read = Tools { offered, choice, single: parallel == Some(false) };
    match tools.and_then(strict).filter(|_| !read.demands()) {
        None => Ok(read),
        Some(at) => {
            let why = "only a call that tool_choice demands is held to its schema; leave it out, or demand one";
            Err(unsupported(&format!("tools[{at}].function.strict"), why))
        }
    }
}

/// The first function whose calls must keep to the schema.
fn strict(tools: &Value) -> Option<usize> {
    tools.as_array()?.iter().position(|tool| tool.pointer("/function/strict") == Some(&Value::Bool(true)))
}

fn offered(tools: &Value) -> Result<Vec<Tool>, Failure> {
    let list = match tools {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        _ => return Err(Failure::invalid("tools", "tools: expected a list of functions")),
    };
    if list.len() > TOOLS_MAX {
        let message = format!("tools has {} entries, and at most {TOOLS_MAX} are accepted", list.len());
        return Err(Failure::invalid("tools", message));
    }
    let bytes = tools.to_string().len();
    if bytes > TOOLS_BYTES_MAX {
        let message =
            format!("tools has {bytes} bytes, and at most {TOOLS_BYTES_MAX} are accepted; describe them briefer");
        return Err(Failure::invalid("tools", message));
    }
    let mut known: Vec<Tool> = Vec::with_capacity(list.len());
    for (at, value) in list.iter().enumerate() {
        let tool = tool(value, &format!("tools[{at}]"))?;
        if known.iter().any(|other| other.name == tool.name) {
            let param = format!("tools[{at}].function.name");
            return Err(Failure::invalid(&param, format!("{param}: {:?} is offered twice", tool.name)));
        }
        known.push(tool);
    }
    Ok(known)
}

fn tool(value: &Value, param: &str) -> Result<Tool, Failure> {
    let wrong = |field: &str, expected: &str| {
        let param = format!("{param}.{field}");
        Err(Failure::invalid(&param, format!("{param}: expected {expected}")))
    };
    match value.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(_) => return Err(unsupported(&format!("{param}.type"), "only the type \"function\" is supported")),
        None => return wrong("type", "\"function\""),
    }
    let function = value.get("function").unwrap_or(&Value::Null);
    let name = match function.get("name").and_then(Value::as_str) {
        Some(name) if is_name(name) => name.to_string(),
        _ => return wrong("function.name", "1 to 64 of a-z, A-Z, 0-9, _ and -"),
    };
    let description = match function.get("description") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return wrong("function.description", "a string"),
    };
    let parameters = match function.get("parameters") {
        None | Some(Value::Null) => json!({"type": "object", "properties": {}}),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => return wrong("function.parameters", "a JSON schema, which is an object"),
    };
    Ok(Tool { name, description, parameters })
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn chosen(choice: &Value, offered: &[Tool]) -> Result<ToolChoice, Failure> {
    let needs_tools = |choice: ToolChoice| match offered {
        [] => Err(Failure::invalid("tool_choice", "tool_choice asks for a call, and tools is empty")),
        _ => Ok(choice),
    };
    match (choice.as_str(), choice.pointer("/function/name").and_then(Value::as_str)) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("required"), _) => needs_tools(ToolChoice::Required),
        (None, None) if choice.is_null() => Ok(ToolChoice::Auto),
        (None, Some(name)) if choice.get("type").is_some_and(|kind| kind == "function") => {
            match offered.iter().any(|tool| tool.name == name) {
                true => needs_tools(ToolChoice::Named(name.into())),
                false => Err(Failure::invalid("tool_choice", "tool_choice names a function that tools does not offer")),
            }
        }
        _ => {
            let expected =
                "\"auto\", \"none\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": \"…\"}}";
            Err(Failure::invalid("tool_choice", format!("tool_choice: expected {expected}")))
        }
    }
}

/// Reads `chat_template_kwargs`, as vLLM has it: whether the model is to think.
pub(super) fn thinking(kwargs: Option<&Map<String, Value>>) -> Result<Option<bool>, Failure> {
    let Some(kwargs) = kwargs else { return Ok(None) };
    if let Some((name, _)) = kwargs.iter().find(|(name, _)| *name != "enable_thinking") {
        return Err(unsupported(&format!("chat_template_kwargs.{name}"), "only \"enable_thinking\" is supported"));
    }
    match kwargs.get("enable_thinking") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(thinking)) => Ok(Some(*thinking)),
        Some(_) => {
            let param = "chat_template_kwargs.enable_thinking";
            Err(Failure::invalid(param, format!("{param}: expected true or false")))
        }
    }
}
