use super::*;
use protocol::{ErrorCode, Format, ToolCall, ToolChoice};
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
        "max_tokens": 9, "max_completion_tokens": 7, "temperature": 0, "top_p": 1.0, "seed": -1, "stop": "x",
        "top_k": 5, "min_p": 0.5, "repetition_penalty": 1.5, "presence_penalty": -2, "frequency_penalty": 2,
        "logit_bias": {"7": -100}, "ignore_eos": true, "logprobs": true, "top_logprobs": 3, "service_tier": "flex",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": {"type": "null"}}}
    }))
    .unwrap();
    let texts: Vec<_> = completion.messages.iter().map(|m| (m.role, m.content.as_str())).collect();
    assert_eq!(texts, [(Role::System, "be brief"), (Role::Assistant, "hello"), (Role::User, "ab")]);
    let sampling = SamplingRequest {
        max_tokens: Some(7),
        temperature: Some(0.0),
        top_p: Some(1.0),
        top_k: Some(5),
        min_p: Some(0.5),
        repetition_penalty: Some(1.5),
        presence_penalty: Some(-2.0),
        frequency_penalty: Some(2.0),
        logit_bias: [(7, -100.0)].into(),
        seed: Some(u64::MAX),
        stop: vec!["x".into()],
        ignore_eos: true,
        logprobs: Some(3),
        format: Format::JsonSchema { schema: json!({"type": "null"}) },
    };
    assert_eq!((completion.sampling, completion.priority), (sampling, Priority::Batch));
}

fn weather() -> Value {
    json!({"type": "function", "function": {"name": "weather", "description": "Tells it.", "strict": null,
        "parameters": {"type": "object", "properties": {"city": {}}}}})
}

fn called() -> Value {
    json!({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}})
}

#[test]
fn tools_calls_and_results_are_read() {
    let body = json!({"model": "tiny", "tools": [weather(), {"type": "function", "function": {"name": "clock"}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}}, "parallel_tool_calls": false,
        "chat_template_kwargs": {"enable_thinking": true},
        "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "reasoning_content": "Hm", "tool_calls": [called()], "annotations": []},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sun"}]}]});
    let completion = Request::read(body.to_string().as_bytes()).unwrap().into_completion(false).unwrap();
    let (asked, result) = (&completion.messages[1], &completion.messages[2]);
    let call = ToolCall { id: "call_1".into(), name: "weather".into(), arguments: "{}".into() };
    assert_eq!((asked.content.as_str(), asked.reasoning.as_str(), &asked.tool_calls[..]), ("", "Hm", &[call][..]));
    assert_eq!(
        (result.role, result.content.as_str(), result.tool_call_id.as_deref()),
        (Role::Tool, "sun", Some("call_1"))
    );
    assert_eq!((completion.tools.choice, completion.tools.single), (ToolChoice::Named("weather".into()), true));
    let [weather, clock] = &completion.tools.offered[..] else { panic!("{:?}", completion.tools.offered) };
    assert_eq!((weather.description.as_str(), &weather.parameters["properties"]), ("Tells it.", &json!({"city": {}})));
    assert_eq!(clock.parameters, json!({"type": "object", "properties": {}}));
    assert_eq!(completion.thinking, Some(true));
}

#[test]
fn what_is_done_anyway_may_be_asked_for() {
    read(json!({"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "store": false, "user": "u", "metadata": {"a": "b"},
        "top_logprobs": 0, "top_k": -1, "service_tier": "auto",
        "tools": [], "logprobs": false, "response_format": {"type": "text"}, "logit_bias": null, "stop": null,
        "stream_options": {"include_obfuscation": false}, "audio": null}))
    .unwrap();
}

#[test]
fn a_parameter_without_support_is_refused_by_name() {
    for (patch, param) in [
        (json!({"n": 2}), "n"),
        (json!({"tools": [weather()]}), "tools"),
        (json!({"tools": [{"type": "custom"}]}), "tools[0].type"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "a", "strict": true}}]}),
            "tools[0].function.strict",
        ),
        (
            json!({"chat_template_kwargs": {"tools_in_user_message": true}}),
            "chat_template_kwargs.tools_in_user_message",
        ),
        (json!({"functions": [{}]}), "functions"),
        (json!({"service_tier": "priority"}), "service_tier"),
        (json!({"response_format": {"type": "grammar"}}), "response_format.type"),
        (json!({"response_format": {"type": "text", "schema": {}}}), "response_format.schema"),
        (json!({"store": true}), "store"),
        (json!({"best_of": 3}), "best_of"),
        (json!({"stream_options": {"include_obfuscation": true}}), "stream_options.include_obfuscation"),
        (json!({"messages": [{"role": "function", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]}), "messages[0].tool_calls"),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [called()]}, {"role": "user", "content": "x"}]}),
            "messages[0]",
        ),
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
        (json!({"top_k": -2}), "top_k"),
        (json!({"min_p": 1.5}), "min_p"),
        (json!({"repetition_penalty": 0}), "repetition_penalty"),
        (json!({"presence_penalty": 2.5}), "presence_penalty"),
        (json!({"frequency_penalty": -2.5}), "frequency_penalty"),
        (json!({"logit_bias": {"7": 101}}), "logit_bias.7"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias"),
        (json!({"logprobs": 5}), "logprobs"),
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (json!({"response_format": "json"}), "response_format"),
        (json!({"response_format": {}}), "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}),
            "response_format.json_schema.name",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}),
            "response_format.json_schema.schema",
        ),
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
        (json!({"tools": {}}), "tools"),
        (json!({"tools": vec![weather(); 129]}), "tools"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "a", "description": "x".repeat(200_000)}}]}),
            "tools",
        ),
        (json!({"tools": [weather(), weather()]}), "tools[1].function.name"),
        (json!({"tools": [{"function": {"name": "a"}}]}), "tools[0].type"),
        (json!({"tools": [{"type": "function", "function": {"name": "a b"}}]}), "tools[0].function.name"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "a", "parameters": 5}}]}),
            "tools[0].function.parameters",
        ),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tool_choice": "maybe"}), "tool_choice"),
        (json!({"tools": [weather()], "tool_choice": {"type": "function", "function": {"name": "b"}}}), "tool_choice"),
        (json!({"parallel_tool_calls": "no"}), "parallel_tool_calls"),
        (json!({"chat_template_kwargs": {"enable_thinking": 1}}), "chat_template_kwargs.enable_thinking"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].tool_call_id"),
        (json!({"messages": [{"role": "tool", "content": "x", "tool_call_id": "call_1"}]}), "messages[0].tool_call_id"),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}),
            "messages[0].tool_calls[0].function.name",
        ),
        (json!({"messages": [{"role": "assistant", "content": "", "tool_calls": 5}]}), "messages[0].tool_calls"),
    ] {
        let failure = read(patch.clone()).unwrap_err();
        let found = (failure.code, failure.param.as_deref());
        assert_eq!(found, (ErrorCode::InvalidRequest, Some(param)), "{patch}: {}", failure.message);
    }
}
