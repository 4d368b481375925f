//! Conversations with tools in OpenAI's words, and the pieces of calls and reasoning that a server streams.

use crate::engine::Request;
use protocol::{Aside, ChatMessage, Role, Tool, ToolCall, ToolCallDelta, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A message as servers read it.
pub(super) fn message(said: &ChatMessage) -> Value {
    let mut fields = json!({ "role": said.role, "content": said.content });
    if !said.reasoning.is_empty() {
        fields["reasoning_content"] = json!(said.reasoning);
    }
    if !said.tool_calls.is_empty() {
        fields["tool_calls"] = said.tool_calls.iter().map(tool_call).collect();
    }
    if said.role == Role::Tool {
        fields["tool_call_id"] = json!(said.tool_call_id);
    }
    fields
}

fn tool_call(call: &ToolCall) -> Value {
    json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } })
}

/// Fields of the request's body about tools and thinking. What asks for nothing is left out: not every server knows it.
pub(super) fn fields(request: &Request) -> Map<String, Value> {
    let mut fields = Map::new();
    let tools = request.tools.usable();
    if !tools.is_empty() {
        fields.insert("tools".into(), tools.iter().map(tool).collect());
    }
    match &request.tools.choice {
        _ if tools.is_empty() => {}
        ToolChoice::Auto | ToolChoice::None => {}
        ToolChoice::Required => drop(fields.insert("tool_choice".into(), json!("required"))),
        ToolChoice::Named(name) => {
            let choice = json!({ "type": "function", "function": { "name": name } });
            fields.insert("tool_choice".into(), choice);
        }
    }
    if request.tools.single && !tools.is_empty() {
        fields.insert("parallel_tool_calls".into(), json!(false));
    }
    if let Some(thinking) = request.thinking {
        fields.insert("chat_template_kwargs".into(), json!({ "enable_thinking": thinking }));
    }
    fields
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({ "name": tool.name });
    if !tool.description.is_empty() {
        function["description"] = json!(tool.description);
    }
    function["parameters"] = tool.parameters.clone();
    json!({ "type": "function", "function": function })
}

/// What a chunk tells besides the answer's text.
#[derive(Deserialize, Default)]
pub(super) struct Besides {
    /// vLLM's older word for it, and others'.
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<Piece>>,
}

#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    index: u32,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl Besides {
    /// In our words, if it is something; `known` calls have begun before. Without the raw text, which servers do not tell.
    pub fn read(self, known: &mut u32) -> Option<Aside> {
        let reasoning = self.reasoning_content.or(self.reasoning).unwrap_or_default();
        let pieces = self.tool_calls.into_iter().flatten();
        let calls: Vec<ToolCallDelta> = pieces.filter_map(|piece| piece.read(known)).collect();
        let is_something = !reasoning.is_empty() || !calls.is_empty();
        is_something.then(|| Aside { reasoning, calls, tokens: 1, ..Aside::default() })
    }
}

impl Piece {
    /// Some servers name the function in every piece; a piece of a call that has not begun is dropped.
    fn read(self, known: &mut u32) -> Option<ToolCallDelta> {
        let Function { name, arguments } = self.function?;
        let arguments = arguments.unwrap_or_default();
        if self.index < *known {
            return Some(ToolCallDelta { index: self.index, arguments, ..ToolCallDelta::default() });
        }
        let name = name.filter(|name| self.index == *known && !name.is_empty())?;
        *known += 1;
        Some(ToolCallDelta { index: self.index, id: self.id.filter(|id| !id.is_empty()), name: Some(name), arguments })
    }
}
