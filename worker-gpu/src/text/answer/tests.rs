//! What parts a text has, however it is cut.

use super::*;
use proptest::prelude::*;
use protocol::{Tool, ToolCall, ToolChoice};
use serde_json::json;

const MARKED: Syntax = Syntax { thinks: true, calls: Some(CallSyntax::Marked) };
const BARE: Syntax = Syntax { thinks: false, calls: Some(CallSyntax::Bare) };

fn tools() -> Tools {
    let tool = |name: &str| Tool { name: name.into(), description: String::new(), parameters: json!({}) };
    Tools { offered: vec![tool("weather"), tool("clock")], ..Tools::default() }
}

/// All parts of an answer, joined.
#[derive(Debug, Default, PartialEq)]
struct Read {
    raw: String,
    text: String,
    reasoning: String,
    calls: Vec<ToolCall>,
}

impl Read {
    fn take(&mut self, parts: Vec<Part>) {
        for Part { raw, meaning } in parts {
            self.raw += &raw;
            match meaning {
                Meaning::Answer => self.text += &raw,
                Meaning::Reasoning => self.reasoning += &raw,
                Meaning::Call(piece) => piece.join(&mut self.calls),
                Meaning::Nothing => {}
            }
        }
    }
}

fn read(mut parser: Parser, pieces: &[&str]) -> Read {
    let mut read = Read::default();
    pieces.iter().for_each(|piece| read.take(parser.push(piece)));
    read.take(parser.finish());
    read
}

fn marked(text: &str) -> Read {
    read(Parser::new(MARKED, &tools(), false), &[text])
}

fn bare(text: &str) -> Read {
    read(Parser::new(BARE, &tools(), false), &[text])
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: String::new(), name: name.into(), arguments: arguments.into() }
}

#[test]
fn thought_answer_and_calls_are_told_apart() {
    let text = "<think>\nHm, <b>.\n\n</think>\n\nLet me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": \
                {\"city\": \"Bern}<\", \"days\": [1, {}]}}\n</tool_call>\n<tool_call>{\"name\":\"clock\",\"arguments\":{}}</tool_call>";
    let found = marked(text);
    assert_eq!((found.reasoning.as_str(), found.text.as_str()), ("Hm, <b>.", "Let me see."));
    let weather = call("weather", "{\"city\": \"Bern}<\", \"days\": [1, {}]}");
    assert_eq!(found.calls, [weather, call("clock", "{}")]);
    assert_eq!(found.raw, text);
}

#[test]
fn a_call_is_told_while_it_is_written() {
    let mut parser = Parser::new(MARKED, &tools(), false);
    assert_eq!(parser.push("<tool_call>\n{\"name\": \"weather\", \"arguments\": "), []);
    let said = |parser: &mut Parser, text: &str| {
        let mut parts = parser.push(text).into_iter();
        parts.next().map(|part| part.meaning)
    };
    let first = ToolCallDelta { name: Some("weather".into()), arguments: "{".into(), ..ToolCallDelta::default() };
    assert_eq!(said(&mut parser, "{\"ci"), Some(Meaning::Call(first)));
    let more = ToolCallDelta { arguments: "ty\": ".into(), ..ToolCallDelta::default() };
    assert_eq!(said(&mut parser, "ty\": "), Some(Meaning::Call(more)));
}

#[test]
fn calls_in_unusual_forms_are_calls() {
    for body in [
        "{\"arguments\": {\"a\": 1}, \"name\": \"clock\"}",
        "{\"name\": \"clock\", \"parameters\": {\"a\":1}}",
        "{{\"name\": \"clock\", \"arguments\": {\"a\": 1}}}",
        "{\"id\": 7, \"name\": \"clock\", \"arguments\": {\"a\": 1}}",
        "{\"name\": \"cl\\u006fck\", \"arguments\": \"{\\\"a\\\": 1}\"}",
    ] {
        let found = marked(&format!("<tool_call>{body}</tool_call>"));
        assert_eq!(found.text, "", "{body}");
        let arguments: Vec<String> = found.calls.iter().map(|call| call.arguments.replace(' ', "")).collect();
        assert_eq!((found.calls[0].name.as_str(), arguments), ("clock", vec!["{\"a\":1}".to_string()]), "{body}");
    }
    assert_eq!(marked("<tool_call>{\"name\": \"clock\"}").calls, [call("clock", "{}")], "no mark at the end");
    let unclosed = "<tool_call>{\"name\": \"clock\", \"arguments\": {\"a\": {\"b\": 1}\n</tool_call>";
    assert_eq!(marked(unclosed).calls, [call("clock", "{\"a\": {\"b\": 1}\n")], "the client sees what is missing");
}

#[test]
fn what_is_no_call_is_part_of_the_answer() {
    for text in [
        "<tool_call>weather in Bern</tool_call>",
        "<tool_call>{\"name\": \"shell\", \"arguments\": {\"cmd\": \"rm\"}}</tool_call> Done.",
        "<tool_call>{\"name\": \"weather\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{\"name\": \"wea",
        "a < b, <tool_cal and </tool_call> {\"name\": \"weather\", \"arguments\": {}} \n",
    ] {
        let found = marked(text);
        assert_eq!((found.text.as_str(), found.calls.len()), (text, 0));
    }
    for text in ["{\"a\": 1} is JSON", "{\"name\": \"shell\", \"parameters\": {}}", "{\"name\": \"we", "{ x", " Hi {}"]
    {
        let found = bare(text);
        assert_eq!((found.text.as_str(), found.calls.len()), (text, 0));
    }
}

#[test]
fn bare_calls_are_calls_at_the_beginning_only() {
    let found = bare(
        "<|python_tag|>{\"name\": \"weather\", \"parameters\": {\"city\": \"Bern\"}}; {\"type\": \"function\", \
                      \"name\": \"clock\", \"parameters\": {}}",
    );
    assert_eq!(found.calls, [call("weather", "{\"city\": \"Bern\"}"), call("clock", "{}")]);
    assert_eq!(found.text, "");
}

#[test]
fn a_call_as_code_is_a_call_where_an_answer_begins() {
    let code = "```json\n{\n  \"name\": \"weather\",\n  \"arguments\": {\n    \"city\": \"Bern\"\n  }\n}\n```";
    for found in [marked(code), bare(code), marked(&format!("<think>\nHm\n</think>\n\n{code}"))] {
        assert_eq!((found.text.as_str(), found.calls.len()), ("", 1), "{found:?}");
        assert_eq!(found.calls[0].arguments, "{\n    \"city\": \"Bern\"\n  }");
    }
    for text in [&format!("Like this: {code}"), "```json\n{\"a\": 1}\n```", "```json", "{\"name\": \"weather\"}"] {
        let found = marked(text);
        assert_eq!((found.text.as_str(), found.calls.len()), (text, 0));
    }
}

#[test]
fn without_tools_nothing_is_a_call_and_without_thoughts_nothing_a_thought() {
    let text = "<think>a</think><tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool_call>";
    let none = Tools { choice: ToolChoice::None, ..tools() };
    assert_eq!(read(Parser::new(MARKED, &none, false), &[text]).text, text.split_once("</think>").unwrap().1);
    assert_eq!(read(Parser::new(Syntax::default(), &tools(), false), &[text]).text, text);
    let mut parser = Parser::new(Syntax::default(), &Tools::default(), false);
    assert_eq!(parser.push(" a <thi"), [Part { raw: " a <thi".into(), meaning: Meaning::Answer }], "nothing is held");
}

#[test]
fn a_thought_may_begin_in_the_prompt_and_never_end() {
    let found = read(Parser::new(MARKED, &tools(), true), &["\nHm", ".\n</think>\n\nYes."]);
    assert_eq!((found.reasoning.as_str(), found.text.as_str()), ("Hm.", "Yes."));
    let found = read(Parser::new(MARKED, &tools(), true), &["Hm </thin"]);
    assert_eq!((found.reasoning.as_str(), found.text.as_str()), ("Hm </thin", ""));
}

#[test]
fn one_call_is_enough_where_one_is_asked_for() {
    let mut parser = Parser::new(MARKED, &Tools { single: true, ..tools() }, false);
    parser.push("<tool_call>{\"name\": \"clock\", \"arguments\": {\"a\": ");
    assert!(parser.has_called() && !parser.is_complete());
    parser.push("1}");
    assert!(parser.is_complete());
}

#[test]
fn a_template_shows_how_calls_are_written() {
    let call = "{% for t in tools %}{{ '<tool_call>{\"name\": x, \"arguments\": y}</tool_call>' }}";
    assert_eq!(Syntax::of(call).calls, Some(CallSyntax::Marked));
    let bare = "{% for t in tools %}{{ '{\"name\": x, \"parameters\": y}' }}";
    assert_eq!(Syntax::of(bare).calls, Some(CallSyntax::Bare));
    for unknown in ["{{ messages }}", "{{ tools }}[TOOL_CALLS]", "{{ tools }}<tool_call><function=x></tool_call>"] {
        assert_eq!(Syntax::of(unknown).calls, None);
    }
    assert!(MARKED.opens("<|assistant|><think>\n") && !MARKED.opens("<think>\n\n</think>\n\n"));
}

/// Pieces of which answers and what looks like them are made.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<|python_tag|>",
        "```json\n",
        "```",
        "{\"name\": \"weather\", \"arguments\": ",
        "{\"name\":\"clock\",\"parameters\":",
        "{\"name\": \"other\", \"arguments\": {}}",
        "{\"city\": \"B\\\"er}n<\"}",
        "{",
        "}",
        "\n",
        "; ",
        "你",
        "Hi ",
        "<",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    places.retain(|place| text.is_char_boundary(*place));
    places.extend([0, text.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_reads_the_same_and_nothing_is_lost(
        text in texts(), cuts in prop::collection::vec(0usize..400, 0..12), opens: bool, is_bare: bool,
    ) {
        let syntax = if is_bare { Syntax { thinks: true, ..BARE } } else { MARKED };
        let parser = Parser::new(syntax, &tools(), opens);
        let whole = read(parser.clone(), &[&text]);
        prop_assert_eq!(&read(parser, &cut(&text, &cuts)), &whole);
        prop_assert_eq!(&whole.raw, &text);
    }

    /// Another worker is given what was told, and goes on with what was not.
    #[test]
    fn a_parser_that_is_fed_what_was_told_goes_on_from_there(
        text in texts(), place in 0usize..400, lost in 0usize..20, opens: bool, is_bare: bool,
    ) {
        let syntax = if is_bare { Syntax { thinks: true, ..BARE } } else { MARKED };
        let place = (0..=place % (text.len() + 1)).rev().find(|place| text.is_char_boundary(*place)).unwrap();
        let whole = read(Parser::new(syntax, &tools(), opens), &[&text]);
        let (mut first, mut told) = (Parser::new(syntax, &tools(), opens), Read::default());
        let mut parts = first.push(&text[..place]);
        // Not all that was told in a step need have arrived.
        parts.truncate(lost.max(parts.len() / 2));
        told.take(parts);
        let mut second = Parser::new(syntax, &tools(), opens);
        second.resume(&told.raw);
        let rest = text[told.raw.len()..].to_string();
        told.take(second.push(&rest));
        told.take(second.finish());
        prop_assert_eq!(told, whole);
    }
}
