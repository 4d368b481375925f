use super::*;
use protocol::ErrorCode;
use serde_json::json;

fn read(patch: Value) -> Result<Completion, Failure> {
    let mut body = json!({"model": "frontdesk", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    Request::read(body.to_string().as_bytes())?.into_completion(true)
}

#[test]
fn what_the_engine_can_do_is_read() {
    let completion = read(json!({
        "messages": [{"role": "developer", "content": "be brief"}, {"role": "assistant", "content": "hello", "refusal": null},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        "max_tokens": 9, "max_completion_tokens": 7, "temperature": 0, "top_p": 1.0, "seed": -1, "stop": "x"
    }))
    .unwrap();
    let texts: Vec<_> = completion.messages.iter().map(|m| (m.role, m.content.as_str())).collect();
    assert_eq!(texts, [(Role::System, "be brief"), (Role::Assistant, "hello"), (Role::User, "ab")]);
    let stop = vec!["x".into()];
    let sampling =
        SamplingRequest { max_tokens: Some(7), temperature: Some(0.0), top_p: Some(1.0), seed: Some(u64::MAX), stop };
    assert_eq!(completion.sampling, sampling);
}

#[test]
fn what_is_done_anyway_may_be_asked_for() {
    read(json!({"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "store": false, "user": "u", "metadata": {"a": "b"},
        "tools": [], "logprobs": false, "response_format": {"type": "text"}, "logit_bias": null, "stop": null,
        "stream_options": {"include_obfuscation": false}, "audio": null}))
    .unwrap();
}

#[test]
fn a_parameter_without_support_is_refused_by_name() {
    for (patch, param) in [
        (json!({"n": 2}), "n"),
        (json!({"presence_penalty": 0.5}), "presence_penalty"),
        (json!({"tools": [{"type": "function"}]}), "tools"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"store": true}), "store"),
        (json!({"best_of": 3}), "best_of"),
        (json!({"stream_options": {"include_obfuscation": true}}), "stream_options.include_obfuscation"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]}), "messages[0].tool_calls"),
        (json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "messages[0].content[0]"),
    ] {
        let failure = read(patch.clone()).unwrap_err();
        let found = (failure.code, failure.param.as_deref());
        assert_eq!(found, (ErrorCode::UnsupportedParameter, Some(param)), "{patch}");
    }
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    for (patch, param) in [
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"stop": ""}), "stop"),
        (json!({"stop": [1]}), "stop"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": {"usage": true}}), "stream_options.usage"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), "messages[0].content[0]"),
        (json!({"messages": [{"role": "user", "content": " "}]}), "messages[0].content"),
        (json!({"messages": [{"role": "system", "content": "x"}]}), "messages"),
        (json!({"model": null}), "model"),
    ] {
        let failure = read(patch.clone()).unwrap_err();
        let found = (failure.code, failure.param.as_deref());
        assert_eq!(found, (ErrorCode::InvalidRequest, Some(param)), "{patch}: {}", failure.message);
    }
}
