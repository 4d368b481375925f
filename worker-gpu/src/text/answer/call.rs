//! The parts of a call.

use super::{
    Meaning, Parser, Place, Step,
    json::{Cursor, Miss, Scanner},
    syntax::{CALL, CallSyntax},
};
use protocol::ToolCallDelta;
use serde_json::Value;

/// Under which of these a call's arguments are.
const ARGUMENTS: [&str; 2] = ["\"arguments\"", "\"parameters\""];

impl Parser {
    /// Where the call's JSON begins in the held text.
    fn body(&self) -> usize {
        let spaces = self.held.len() - self.held.trim_start().len();
        (spaces + self.around[0].len()).min(self.held.len())
    }

    /// The usual order is told as it comes: the name first, then the arguments piece by piece.
    pub(super) fn head(&mut self, ended: bool) -> Step {
        let body = self.body();
        match header(&self.held[body..]) {
            Ok((name, length)) if self.offered.iter().any(|offered| offered == name) => {
                // The brace is told with the name: who is told of the name alone could not know that this is a call.
                let begun = self.begin(name.to_string(), "{".into());
                self.place = Place::Arguments(Scanner::within());
                Some((body + length, begun))
            }
            Err(Miss::More) if !ended => None,
            // Between marks everything is a call; JSON without them is one only where there are no marks.
            _ if self.around == CALL || self.calls == Some(CallSyntax::Bare) => self.skip(0, Place::Whole),
            _ => self.skip(0, Place::Text),
        }
    }

    /// What is no call after all is part of the answer.
    pub(super) fn whole(&mut self, ended: bool) -> Step {
        let (end, length) = self.end(ended)?;
        let body = self.body().min(end);
        match self.complete(&self.held[body..end]) {
            Some((name, arguments)) => {
                let call = self.begin(name, arguments);
                self.place = Place::Between;
                Some((length, call))
            }
            None => {
                self.place = Place::Text;
                Some((length, Meaning::Answer))
            }
        }
    }

    /// Where the call's JSON ends, and the mark after it.
    fn end(&self, ended: bool) -> Option<(usize, usize)> {
        if self.around == CALL {
            return match self.held.find(CALL[1]) {
                Some(end) => Some((end, end + CALL[1].len())),
                None => ended.then_some((self.held.len(), self.held.len())),
            };
        }
        let body = self.body();
        let mut values = serde_json::Deserializer::from_str(&self.held[body..]).into_iter::<Value>();
        match values.next() {
            Some(Err(error)) if error.is_eof() && !ended => None,
            _ => Some((body + values.byte_offset(), body + values.byte_offset())),
        }
    }

    pub(super) fn arguments(&mut self) -> Step {
        let Place::Arguments(scanner) = &mut self.place else { return None };
        let (length, is_end) = scanner.take(&self.held);
        if is_end {
            self.place = Place::Tail;
        }
        let arguments = self.held[..length].to_string();
        let index = self.called.saturating_sub(1);
        Some((length, Meaning::Call(ToolCallDelta { index, arguments, ..ToolCallDelta::default() })))
    }

    /// Passes the braces and the mark that close a call. Models forget either.
    pub(super) fn tail(&mut self, ended: bool) -> Step {
        let rest = self.held.trim_start_matches(|c: char| c.is_whitespace() || c == '}');
        let passed = self.held.len() - rest.len();
        let close = self.around[1];
        if !close.is_empty() && rest.starts_with(close) {
            return self.skip(passed + close.len(), Place::Between);
        }
        let may_come = rest.is_empty() || (rest.len() < close.len() && close.starts_with(rest));
        if may_come && !ended { None } else { self.skip(passed, Place::Between) }
    }

    fn begin(&mut self, name: String, arguments: String) -> Meaning {
        let index = self.called;
        self.called += 1;
        Meaning::Call(ToolCallDelta { index, id: None, name: Some(name), arguments })
    }

    /// Name and arguments of a call of an offered function, in any order.
    fn complete(&self, body: &str) -> Option<(String, String)> {
        let call: Value = serde_json::from_str(body).ok()?;
        let name = call.get("name")?.as_str()?;
        let arguments = ["arguments", "parameters"].iter().find_map(|key| call.get(key));
        let arguments = match arguments {
            None | Some(Value::Null) => "{}".to_string(),
            Some(object @ Value::Object(_)) => object.to_string(),
            // Some write JSON within a string.
            Some(Value::String(text)) if serde_json::from_str::<Value>(text).is_ok_and(|v| v.is_object()) => {
                text.clone()
            }
            Some(_) => return None,
        };
        self.offered.iter().any(|offered| offered == name).then(|| (name.to_string(), arguments))
    }
}

/// The function's name, and where its arguments' first brace ends.
fn header(body: &str) -> Result<(&str, usize), Miss> {
    let mut cursor = Cursor(body);
    cursor.token("{")?;
    // Some templates show the braces doubled, and their models do what they saw.
    match cursor.token("{") {
        Err(Miss::More) => return Err(Miss::More),
        Ok(()) | Err(Miss::Other) => {}
    }
    cursor.token("\"name\"")?;
    cursor.token(":")?;
    let name = cursor.plain_string()?;
    cursor.token(",")?;
    match cursor.token(ARGUMENTS[0]) {
        Err(Miss::Other) => cursor.token(ARGUMENTS[1])?,
        other => other?,
    }
    cursor.token(":")?;
    cursor.token("{")?;
    Ok((name, body.len() - cursor.0.len()))
}
