//! Calls that the model has to make.

use crate::text::{CallSyntax, Parser};
use protocol::{ErrorCode, Failure, Format, Sampling, Tool, ToolChoice, Tools};
use serde_json::{Value, json};

/// Bytes of all the schemas that a call may have to keep to, written without spaces.
const SCHEMAS_BYTES: usize = 64 << 10;

/// A call that has to be made: exactly one, and nothing beside it.
pub(crate) struct Demanded {
    tools: Vec<Tool>,
    syntax: CallSyntax,
}

/// The call that `tools` demands, if they do; the failure names the field.
pub(crate) fn demanded(tools: &Tools, sampling: &Sampling, parser: &Parser) -> Result<Option<Demanded>, Failure> {
    let Some(syntax) = parser.calls().filter(|_| tools.demands()) else { return Ok(None) };
    let refuse = |message: &str| {
        let failure = Failure::invalid("tool_choice", format!("tool_choice: {message}"));
        Err(Failure { code: ErrorCode::UnsupportedParameter, ..failure })
    };
    if sampling.format != Format::Text {
        return refuse("a call that must be made cannot be in response_format as well; leave one of them out");
    }
    if parser.is_thinking() {
        return refuse("this model always thinks first, so that no call can be demanded; use \"auto\"");
    }
    let wanted = |tool: &&Tool| match &tools.choice {
        ToolChoice::Named(name) => tool.name == *name,
        _ => true,
    };
    Ok(Some(Demanded { tools: tools.offered.iter().filter(wanted).cloned().collect(), syntax }))
}

impl Demanded {
    /// As llguidance's grammar, with `space` between the parts of the JSON.
    pub fn lark(&self, space: &str) -> Result<String, Failure> {
        let arguments = match self.syntax {
            CallSyntax::Marked => "arguments",
            CallSyntax::Bare => "parameters",
        };
        let calls: Vec<Value> = self.tools.iter().enumerate().map(|(at, tool)| call(tool, arguments, at)).collect();
        let schema = json!({ "x-guidance": { "whitespace_pattern": space }, "anyOf": calls }).to_string();
        if schema.len() > SCHEMAS_BYTES {
            let message = format!("tools: the schemas have more than {SCHEMAS_BYTES} bytes; make them smaller");
            return Err(Failure::invalid("tools", message));
        }
        Ok(match self.syntax {
            CallSyntax::Marked => {
                format!("start: \"<tool_call>\\n\" call \"\\n</tool_call>\"\ncall: %json {schema}\n")
            }
            CallSyntax::Bare => format!("start: call\ncall: %json {schema}\n"),
        })
    }
}

fn call(tool: &Tool, arguments: &str, at: usize) -> Value {
    let mut properties = json!({ "name": { "const": tool.name } });
    let mut schema = moved(&tool.parameters, &format!("#/anyOf/{at}/properties/{arguments}"));
    // A schema may leave it unsaid that arguments have names.
    schema["type"] = json!("object");
    properties[arguments] = schema;
    json!({ "type": "object", "properties": properties, "required": ["name", arguments], "additionalProperties": false })
}

/// `schema` with its references to itself pointing to where it is now.
fn moved(schema: &Value, place: &str) -> Value {
    let field = |(key, value): (&String, &Value)| {
        let reference = value.as_str().filter(|_| key == "$ref").and_then(|to| to.strip_prefix('#'));
        (key.clone(), reference.map_or_else(|| moved(value, place), |to| json!(format!("{place}{to}"))))
    };
    match schema {
        Value::Object(fields) => fields.iter().map(field).collect(),
        Value::Array(items) => items.iter().map(|item| moved(item, place)).collect(),
        other => other.clone(),
    }
}
