//! Functions that a client offers to the model, and the model's wishes to have them called.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A function that the model may ask to be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// What it is called.
    pub name: String,
    /// What it does, in words for the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON schema of its arguments; its keys keep their order.
    pub parameters: Value,
}

/// The functions of one request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tools {
    /// What may be called.
    #[serde(default)]
    pub offered: Vec<Tool>,
    /// Whether something has to be called.
    #[serde(default)]
    pub choice: ToolChoice,
    /// Whether the answer ends with its first call.
    #[serde(default)]
    pub single: bool,
}

/// Whether something has to be called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// Nothing is called.
    None,
    /// At least one call.
    Required,
    /// A call of this function.
    Named(String),
}

/// A function that the model wants to have called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the result refers to.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// The arguments as the model wrote them: JSON, but nobody has checked it against the schema.
    pub arguments: String,
}

/// A piece of a call; a call's first piece names the function, and their arguments, joined, are the call's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Which call of the answer, from 0.
    pub index: u32,
    /// In the first piece: what the result refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In the first piece: the function's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to append to the arguments.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arguments: String,
}

impl Tools {
    /// Whether no function is offered.
    pub fn is_empty(&self) -> bool {
        self.offered.is_empty()
    }

    /// The functions that the model is told of; none when nothing may be called.
    pub fn usable(&self) -> &[Tool] {
        if self.choice == ToolChoice::None { &[] } else { &self.offered }
    }

    /// Whether something has to be called.
    pub fn demands(&self) -> bool {
        matches!(self.choice, ToolChoice::Required | ToolChoice::Named(_))
    }
}

impl ToolCallDelta {
    /// Adds this piece to the calls so far.
    pub fn join(self, calls: &mut Vec<ToolCall>) {
        let at = self.index as usize;
        if at == calls.len() {
            calls.push(ToolCall::default());
        }
        let Some(call) = calls.get_mut(at) else { return };
        call.id = self.id.unwrap_or(std::mem::take(&mut call.id));
        call.name = self.name.unwrap_or(std::mem::take(&mut call.name));
        call.arguments.push_str(&self.arguments);
    }
}
