//! The model's own chat template: from messages to the text that the model was trained on.

use super::{dates::strftime, json::tojson};
use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};
use minijinja_contrib::pycompat;
use protocol::{ChatMessage, Failure, Role, Tool, ToolCall};
use runtime::Clock;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// A compiled chat template.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chat<'a> {
    /// What was said so far.
    pub messages: &'a [ChatMessage],
    /// What the model may ask to have called.
    pub tools: &'a [Tool],
    /// Whether the model is to think; `None`: the template decides.
    pub thinking: Option<bool>,
}

impl ChatTemplate {
    /// Compiles `source`; `bos` and `eos` are the texts of the special tokens that it may use.
    pub fn new(source: String, bos: String, eos: String, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", move |format: String| strftime(&format, clock.now().0 / 1000));
        environment.add_template_owned("chat", source)?;
        Ok(Self { environment, bos, eos })
    }

    /// The prompt up to where the assistant speaks; `protect` is applied to all that comes from outside.
    pub fn render(&self, chat: &Chat<'_>, protect: impl Fn(&str) -> String) -> Result<String, Failure> {
        let messages = values(chat.messages.iter().map(|said| message(said, &protect)))?;
        let tools = values(chat.tools.iter().map(|offered| tool(offered, &protect)))?;
        // Templates ask both whether there are tools and whether the word is defined.
        let tools = if tools.is_empty() { Value::from(()) } else { Value::from(tools) };
        let enable_thinking = chat.thinking.map_or(Value::UNDEFINED, Value::from);
        let (bos_token, eos_token) = (&self.bos, &self.eos);
        let add_generation_prompt = true;
        let rendered = self.environment.get_template("chat").and_then(|template| {
            template.render(context! { messages, tools, enable_thinking, bos_token, eos_token, add_generation_prompt })
        });
        rendered.map_err(|error| {
            let why = error.detail().unwrap_or("it does not fit the model's chat template").to_string();
            Failure::invalid("messages", format!("the model refuses this conversation: {why}"))
        })
    }
}

fn values(all: impl Iterator<Item = Json>) -> Result<Vec<Value>, Failure> {
    let unreadable = |error| Failure::invalid("messages", format!("the chat template cannot take them: {error}"));
    all.map(|json| Value::deserialize(json).map_err(unreadable)).collect()
}

/// A message as transformers hands it to templates.
fn message(said: &ChatMessage, protect: &impl Fn(&str) -> String) -> Json {
    let mut fields = json!({ "role": name(said.role), "content": protect(&said.content) });
    if !said.reasoning.is_empty() {
        fields["reasoning_content"] = json!(protect(&said.reasoning));
    }
    if !said.tool_calls.is_empty() {
        fields["tool_calls"] = said.tool_calls.iter().map(|call| tool_call(call, protect)).collect();
    }
    if let Some(id) = &said.tool_call_id {
        fields["tool_call_id"] = json!(protect(id));
    }
    fields
}

/// Templates expect the arguments as an object; what is none remains the text that it is.
fn tool_call(call: &ToolCall, protect: &impl Fn(&str) -> String) -> Json {
    let arguments = serde_json::from_str::<Map<String, Json>>(&call.arguments).map(Json::Object);
    let arguments = protected(&arguments.unwrap_or_else(|_| json!(call.arguments)), protect);
    let function = json!({ "name": protect(&call.name), "arguments": arguments });
    json!({ "id": protect(&call.id), "type": "function", "function": function })
}

fn tool(offered: &Tool, protect: &impl Fn(&str) -> String) -> Json {
    let mut function = json!({ "name": protect(&offered.name) });
    if !offered.description.is_empty() {
        function["description"] = json!(protect(&offered.description));
    }
    function["parameters"] = protected(&offered.parameters, protect);
    json!({ "type": "function", "function": function })
}

/// `value` with each of its texts and keys protected.
fn protected(value: &Json, protect: &impl Fn(&str) -> String) -> Json {
    match value {
        Json::String(text) => Json::String(protect(text)),
        Json::Array(items) => items.iter().map(|item| protected(item, protect)).collect(),
        Json::Object(fields) => fields.iter().map(|(key, value)| (protect(key), protected(value, protect))).collect(),
        other => other.clone(),
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
