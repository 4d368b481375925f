//! How a model writes thoughts and calls, as its chat template shows.

/// Around a thought.
pub(super) const THOUGHTS: [&str; 2] = ["<think>", "</think>"];
/// Around a call.
pub(super) const CALL: [&str; 2] = ["<tool_call>", "</tool_call>"];
/// Around a call that is written as code.
pub(super) const FENCE: [&str; 2] = ["```json", "```"];
/// Around a call without marks.
pub(super) const NOTHING: [&str; 2] = [""; 2];
/// Before calls for which a template knows no other mark.
pub(super) const PYTHON: &str = "<|python_tag|>";

/// How calls are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallSyntax {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, anywhere and several times: Hermes, Qwen2.5, Qwen3.
    Marked,
    /// `{"name": …, "parameters": {…}}` and nothing else, several with semicolons between: Llama 3.
    Bare,
}

/// What a model's words may hold besides an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Syntax {
    /// `<think>…</think>` before the answer.
    pub thinks: bool,
    /// Calls; `None`: there is no way to write them that is understood here.
    pub calls: Option<CallSyntax>,
}

impl CallSyntax {
    /// Texts that belong to calls.
    pub fn marks(self) -> &'static [&'static str] {
        match self {
            CallSyntax::Marked => &CALL,
            CallSyntax::Bare => &[PYTHON],
        }
    }
}

impl Syntax {
    /// Of an echo: what it repeats is read as Qwen's words would be.
    pub const ECHO: Syntax = Syntax { thinks: false, calls: Some(CallSyntax::Marked) };
    /// Texts that mean something to some model.
    pub const MARKS: [&str; 5] = [THOUGHTS[0], THOUGHTS[1], CALL[0], CALL[1], PYTHON];

    /// What the chat template `source` tells of it.
    pub fn of(source: &str) -> Self {
        let has = |words: &str| source.contains(words);
        // Others put XML between the marks.
        let calls = match has("tools") {
            true if has(CALL[0]) && has("\"arguments\"") => Some(CallSyntax::Marked),
            true if !has(CALL[0]) && has("\"parameters\":") => Some(CallSyntax::Bare),
            _ => None,
        };
        Self { thinks: has(THOUGHTS[1]), calls }
    }

    /// Whether the prompt `rendered` ends within a thought.
    pub fn opens(&self, rendered: &str) -> bool {
        self.thinks && rendered.trim_end().ends_with(THOUGHTS[0])
    }
}
