//! Answers in a format: a model that knows nothing writes JSON by the schema all the same.

use super::{
    LocalEngine,
    tests::{Said, alone, config, open, request_of},
};
use crate::candle::tests::tiny::Tiny;
use crate::engine::{Engine, Request};
use protocol::{ErrorCode, FinishReason, Format, Sampling};
use serde_json::{Value, json};

fn engine() -> LocalEngine {
    open(&Tiny { bytes: true, ..Tiny::exact("qwen2") }.write(), &config(2, 64))
}

fn request(seed: u64, format: Format) -> Request {
    let sampling = Sampling { max_tokens: 200, temperature: 1.0, seed, format, ..Sampling::default() };
    request_of(seed, "hello", sampling)
}

fn by(schema: Value) -> Format {
    Format::JsonSchema { schema }
}

fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// What a hot model of random weights says, whole and by the schema.
fn written(engine: &mut LocalEngine, seed: u64, schema: &Value) -> Value {
    let Said { text, end } = alone(engine, &request(seed, by(schema.clone())));
    assert_eq!(end.unwrap().0, FinishReason::Stop, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_model_that_knows_nothing_keeps_to_the_schema() {
    let mut engine = engine();
    let item = object(
        json!({"zip": {"type": "string", "maxLength": 5}, "age": {"type": "integer", "minimum": 0, "maximum": 120}}),
    );
    let schema = object(json!({
        "kind": {"enum": ["退货", "换货"]},
        "items": {"type": "array", "items": item, "minItems": 1, "maxItems": 2},
        "bad": {"type": "boolean"},
        "a": {"type": ["string", "null"], "maxLength": 4},
    }));
    for seed in 0..12 {
        let found = written(&mut engine, seed, &schema);
        let keys: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["kind", "items", "bad", "a"], "in the schema's order: {found}");
        assert!(["退货", "换货"].contains(&found["kind"].as_str().unwrap()), "{found}");
        let items = found["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()), "{found}");
        for item in items {
            assert!(item["zip"].as_str().unwrap().chars().count() <= 5, "{found}");
            assert!(item["age"].as_u64().unwrap() <= 120, "{found}");
        }
        assert!(found["bad"].is_boolean() && (found["a"].is_null() || found["a"].is_string()), "{found}");
    }
}

#[test]
fn references_numbers_and_bare_values_are_written() {
    let mut engine = engine();
    let tree = json!({
        "$defs": {"node": object(json!({"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]}})),
            "leaf": object(json!({"n": {"type": "integer", "minimum": -5, "maximum": 5}}))},
        "$ref": "#/$defs/node",
    });
    for seed in 0..6 {
        let found = written(&mut engine, seed, &tree);
        assert!(found["next"].is_null() || found["next"]["n"].as_i64().unwrap().abs() <= 5, "{found}");
        assert!(
            written(&mut engine, seed, &json!({"enum": [1, 12, true, "1"]})).as_str().is_none_or(|text| text == "1")
        );
    }
}

#[test]
fn an_object_is_any_object() {
    let mut engine = engine();
    let said = (0..40).map(|seed| alone(&mut engine, &request(seed, Format::JsonObject)));
    let whole: Vec<Said> = said.filter(|said| said.end.unwrap().0 == FinishReason::Stop).collect();
    assert!(whole.len() > 3, "some random objects come to an end");
    for said in whole {
        // A number may be larger than any that a program can hold.
        serde_json::from_str::<serde::de::IgnoredAny>(&said.text).unwrap();
        assert!(said.text.starts_with('{'), "{}", said.text);
    }
}

#[test]
fn an_answer_that_is_cut_is_a_beginning() {
    let mut engine = engine();
    let schema = object(json!({"text": {"type": "string", "minLength": 60, "maxLength": 90}}));
    let whole = alone(&mut engine, &request(3, by(schema.clone())));
    let mut short = request(3, by(schema));
    short.sampling.max_tokens = 20;
    let cut = alone(&mut engine, &short);
    assert_eq!((cut.end.unwrap().0, cut.end.unwrap().1.completion_tokens), (FinishReason::Length, 20));
    assert!(whole.text.starts_with(&cut.text) && whole.end.unwrap().0 == FinishReason::Stop);
    assert!(!cut.text.contains(char::REPLACEMENT_CHARACTER), "no character is cut: {}", cut.text);
}

#[test]
fn a_continued_answer_goes_on_in_its_format() {
    let mut engine = engine();
    let schema = by(object(json!({"kind": {"enum": ["退货", "换货"]}, "bad": {"type": "boolean"}})));
    let mut continued = request(5, schema.clone());
    continued.prefix = "{\"kind\": \"换".into();
    let rest = alone(&mut engine, &continued).text;
    let found: Value = serde_json::from_str(&(continued.prefix.clone() + &rest)).unwrap();
    assert!(found["kind"] == "换货" && found["bad"].is_boolean(), "{found}");

    continued.prefix = "Sure! {".into();
    let failure = engine.add(continued).unwrap_err();
    assert_eq!((failure.code, failure.param.as_deref()), (ErrorCode::InvalidRequest, Some("prefix")));
}

#[test]
fn a_schema_that_cannot_be_kept_to_is_refused() {
    let mut engine = engine();
    let long: Vec<String> = (0..9_000).map(|n| format!("value {n}")).collect();
    for (schema, words) in [
        (json!({"type": "strnig"}), "strnig"),
        (json!({"type": "string", "pattern": "("}), ""),
        (json!({"$ref": "https://example.com/schema.json"}), "example.com"),
        (json!({"type": "object", "minProperties": 3, "unevaluatedProperties": false}), "unevaluatedProperties"),
        (json!({"enum": long}), "65536"),
    ] {
        let refused = engine.add(request(1, by(schema.clone())));
        let Err(failure) = refused else { panic!("{words:?} is accepted: {schema}") };
        assert_eq!(failure.code, ErrorCode::InvalidRequest, "{failure}");
        assert_eq!(failure.param.as_deref(), Some("response_format.json_schema"));
        assert!(failure.message.contains(words), "{failure}");
    }
}
