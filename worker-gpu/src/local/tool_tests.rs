//! Tools: a model that knows nothing calls by the schema when it must, and another worker goes on in the middle of a call.

use super::{
    LocalEngine,
    tests::{config, open, request_of},
};
use crate::{
    candle::tests::tiny::Tiny,
    config::Config,
    engine::{Engine, Output, Request},
};
use protocol::{ErrorCode, FinishReason, Format, Sampling, Tool, ToolCall, ToolCallDelta, ToolChoice, Tools};
use serde_json::{Value, json};

fn engine() -> LocalEngine {
    open(&Tiny { bytes: true, ..Tiny::exact("qwen2") }.write(), &Config { context_tokens: 512, ..config(2, 64) })
}

fn tools(choice: ToolChoice) -> Tools {
    let tool = |name: &str, parameters: Value| Tool { name: name.into(), description: String::new(), parameters };
    let city = json!({"properties": {"city": {"$ref": "#/$defs/c"}}, "required": ["city"], "additionalProperties": false,
        "$defs": {"c": {"enum": ["Bern", "<北京>"]}}});
    let clock = json!({"properties": {"utc": {"type": "boolean"}}, "required": ["utc"], "additionalProperties": false});
    Tools { offered: vec![tool("weather", city), tool("clock", clock)], choice, single: false }
}

fn request(seed: u64, choice: ToolChoice) -> Request {
    let sampling = Sampling { max_tokens: 400, temperature: 1.0, seed, ..Sampling::default() };
    Request { tools: tools(choice), ..request_of(seed, "hello", sampling) }
}

/// The pieces of calls with the raw text they stand for, and why the answer ended.
fn called(engine: &mut LocalEngine, request: Request) -> (Vec<(String, Vec<ToolCallDelta>)>, FinishReason) {
    engine.add(request).unwrap();
    let mut asides = Vec::new();
    loop {
        for output in engine.step().unwrap() {
            match output {
                Output::Started(_) => {}
                Output::Aside { aside, .. } => asides.push((aside.raw, aside.calls)),
                Output::Token { text, .. } => assert_eq!(text, "", "a call and nothing beside it"),
                Output::Finished { reason, .. } => return (asides, reason),
                Output::Failed(_, failure) => panic!("{failure}"),
            }
        }
    }
}

fn joined<'a>(pieces: impl Iterator<Item = &'a (String, Vec<ToolCallDelta>)>) -> Vec<ToolCall> {
    let mut calls = Vec::new();
    pieces.flat_map(|(_, calls)| calls.clone()).for_each(|piece| piece.join(&mut calls));
    calls
}

fn check(call: &ToolCall) {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
    match call.name.as_str() {
        "weather" => assert!(["Bern", "<北京>"].contains(&arguments["city"].as_str().unwrap()), "{call:?}"),
        "clock" => assert!(arguments["utc"].is_boolean(), "{call:?}"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_call_that_must_be_made_is_made_by_the_schema() {
    let mut engine = engine();
    let mut names = Vec::new();
    for seed in 0..12 {
        let choice = if seed < 8 { ToolChoice::Required } else { ToolChoice::Named("clock".into()) };
        let (pieces, reason) = called(&mut engine, request(seed, choice));
        assert_eq!(reason, FinishReason::ToolCalls);
        assert!(pieces.len() > 3, "it is told while it is written");
        let calls = joined(pieces.iter());
        assert_eq!(calls.len(), 1);
        check(&calls[0]);
        names.push(calls[0].name.clone());
    }
    assert!(names[8..].iter().all(|name| name == "clock"));
    assert!(names[..8].iter().any(|name| name == "weather"), "{names:?}");
}

#[test]
fn a_call_goes_on_in_another_engine() {
    let (mut first, mut second) = (engine(), engine());
    let (pieces, _) = called(&mut first, request(3, ToolChoice::Required));
    for told in 1..pieces.len() {
        let prefix: String = pieces[..told].iter().map(|(raw, _)| raw.as_str()).collect();
        let (rest, reason) = called(&mut second, Request { prefix, ..request(5, ToolChoice::Required) });
        assert_eq!(reason, FinishReason::ToolCalls);
        let calls = joined(pieces[..told].iter().chain(&rest));
        assert_eq!(calls.len(), 1, "{calls:?}");
        check(&calls[0]);
    }
}

#[test]
fn what_cannot_be_demanded_is_refused() {
    let mut engine = engine();
    let mut both = request(1, ToolChoice::Required);
    both.sampling.format = Format::JsonObject;
    let failure = engine.add(both).unwrap_err();
    assert_eq!((failure.code, failure.param.as_deref()), (ErrorCode::UnsupportedParameter, Some("tool_choice")));
    let mut wrong = request(1, ToolChoice::Required);
    wrong.tools.offered[0].parameters = json!({"properties": {"city": {"type": "strnig"}}});
    assert_eq!(engine.add(wrong).unwrap_err().param.as_deref(), Some("tools"));
}
