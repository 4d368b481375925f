//! OpenAI's wire format.

use crate::{
    sse::Reader,
    stage::{Stage, refused},
};
use serde_json::{Value, json};

fn ask(model: &str, content: &str, patch: Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": content}]});
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    body
}

async fn complete(stage: &Stage, body: &Value) -> reqwest::Response {
    stage.post("/v1/chat/completions", body).send().await.unwrap()
}

#[tokio::test]
async fn a_whole_answer_is_a_chat_completion() {
    let stage = Stage::start().await;
    let body: Value = complete(&stage, &ask("tiny", "tell", json!({"max_tokens": 5}))).await.json().await.unwrap();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-job_"), "{body}");
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("tiny")));
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    let message = json!({"role": "assistant", "content": "Hello, 世界 [1]", "refusal": null});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
    assert_eq!(body["choices"], json!([choice]));
    assert_eq!(body["usage"], json!({"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}));
    assert!(body.get("citations").is_none(), "the bare model knows nothing: {body}");
}

#[tokio::test]
async fn the_assistant_answers_from_what_the_tenant_knows() {
    let stage = Stage::start().await;
    let body: Value = complete(&stage, &ask("frontdesk", "tell", json!({}))).await.json().await.unwrap();
    assert_eq!(body["model"], "frontdesk");
    assert_eq!((&body["citations"][0]["number"], &body["citations"][0]["document"]), (&json!(1), &json!("faq")));
}

#[tokio::test]
async fn a_streamed_answer_is_chunks_then_usage_then_done() {
    let stage = Stage::start().await;
    let body = ask("frontdesk", "tell", json!({"stream": true, "stream_options": {"include_usage": true}}));
    let events = Reader::new(complete(&stage, &body).await).rest().await;
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done.data, "[DONE]");
    let chunks: Vec<_> = chunks.iter().map(|event| event.json()).collect();
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == chunks[0]["id"]));
    let (usage, chunks) = chunks.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], json!({"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}));
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Hello, 世界 [1]");
    let reasons: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["finish_reason"].clone()).collect();
    assert_eq!(reasons.iter().filter(|reason| !reason.is_null()).count(), 1);
    assert_eq!(*reasons.last().unwrap(), json!("stop"));
}

fn offer() -> Value {
    json!({"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]})
}

#[tokio::test]
async fn a_call_and_what_was_thought_come_in_openais_words() {
    let stage = Stage::start().await;
    let body: Value = complete(&stage, &ask("tiny", "call", offer())).await.json().await.unwrap();
    let function = json!({"name": "weather", "arguments": "{\"city\": \"Bern\"}"});
    let calls = json!([{"id": "call_1", "type": "function", "function": function}]);
    let message =
        json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": calls, "reasoning_content": "Hm"});
    assert_eq!(
        (&body["choices"][0]["message"], &body["choices"][0]["finish_reason"]),
        (&message, &json!("tool_calls"))
    );
    let mut streamed = ask("tiny", "call", offer());
    streamed["stream"] = json!(true);
    let events = Reader::new(complete(&stage, &streamed).await).rest().await;
    let deltas: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| event.json()["choices"][0].clone()).collect();
    assert_eq!(deltas[1]["delta"], json!({"reasoning_content": "Hm"}));
    let first =
        json!({"index": 0, "id": "call_1", "type": "function", "function": {"arguments": "", "name": "weather"}});
    assert_eq!(deltas[2]["delta"], json!({"tool_calls": [first]}));
    let rest = json!({"index": 0, "function": {"arguments": "{\"city\": \"Bern\"}"}});
    assert_eq!(deltas[3]["delta"], json!({"tool_calls": [rest]}));
    assert_eq!(deltas[4]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn the_assistant_calls_nothing() {
    let stage = Stage::start().await;
    refused(complete(&stage, &ask("frontdesk", "call", offer())).await, 400, "unsupported_parameter", Some("tools"))
        .await;
}

#[tokio::test]
async fn logprobs_are_told_whole_and_in_chunks() {
    let stage = Stage::start().await;
    let token = |token: &str, bytes: &[u8]| {
        let top = json!([{"token": "a", "logprob": -9999.0, "bytes": [97]}]);
        json!({"token": token, "logprob": -0.5, "bytes": bytes, "top_logprobs": top})
    };
    let expected = json!([token("Hi", b"Hi"), token("\u{fffd}", &[0xe4, 0xb8]), token("\u{fffd}", &[0x96])]);
    let patch = json!({"logprobs": true, "top_logprobs": 1});
    let body: Value = complete(&stage, &ask("tiny", "tell", patch)).await.json().await.unwrap();
    assert_eq!(body["choices"][0]["logprobs"], json!({"content": expected, "refusal": null}));
    let patch = json!({"logprobs": true, "top_logprobs": 1, "stream": true});
    let events = Reader::new(complete(&stage, &ask("tiny", "tell", patch)).await).rest().await;
    let choices = events.iter().filter(|event| event.data != "[DONE]").map(|event| event.json()["choices"][0].clone());
    let pieces: Vec<Value> = choices.filter(|choice| !choice["logprobs"].is_null()).collect();
    let told = pieces.iter().flat_map(|piece| piece["logprobs"]["content"].as_array().unwrap().clone());
    assert_eq!(told.collect::<Value>(), expected);
    assert_eq!(pieces[1]["delta"]["content"], "世");
}

#[tokio::test]
async fn without_asking_there_is_no_usage_in_the_chunks() {
    let stage = Stage::start().await;
    let events = Reader::new(complete(&stage, &ask("tiny", "count", json!({"stream": true}))).await).rest().await;
    assert!(events.iter().all(|event| !event.data.contains("usage")));
    assert_eq!(events[events.len() - 2].json()["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_failure_at_once_has_its_own_status_and_says_when_to_come_back() {
    let stage = Stage::start().await;
    for stream in [true, false] {
        let response = complete(&stage, &ask("tiny", "refuse", json!({"stream": stream}))).await;
        assert!(response.headers().contains_key("retry-after") && response.headers().contains_key("retry-after-ms"));
        refused(response, 503, "overloaded", None).await;
    }
}

#[tokio::test]
async fn an_answer_without_the_model_is_marked() {
    let stage = Stage::start().await;
    let body: Value = complete(&stage, &ask("frontdesk", "refuse", json!({}))).await.json().await.unwrap();
    let said = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(body["degraded"] == true && said.contains("a person"), "{body}");
    let stream = complete(&stage, &ask("frontdesk", "refuse", json!({"stream": true}))).await;
    let events = Reader::new(stream).rest().await;
    let marked: Vec<bool> = events.iter().map(|event| event.data.contains("\"degraded\":true")).collect();
    assert_eq!(marked.iter().rev().take(2).collect::<Vec<_>>(), [&false, &true], "the last chunk before the end");
    assert_eq!(marked.iter().filter(|is| **is).count(), 1);
    let body: Value = complete(&stage, &ask("frontdesk", "tell", json!({}))).await.json().await.unwrap();
    assert!(body.get("degraded").is_none(), "{body}");
}

#[tokio::test]
async fn an_answer_says_where_it_is_from() {
    let stage = Stage::start().await;
    for stream in [false, true] {
        let response = complete(&stage, &ask("frontdesk", "Hello!", json!({"stream": stream}))).await;
        let text = response.text().await.unwrap();
        assert_eq!(text.matches("\"origin\":\"courtesy\"").count(), 1, "{text}");
        assert!(text.contains("automated assistant") && !text.contains("degraded"), "{text}");
    }
    let body: Value = complete(&stage, &ask("tiny", "Hello!", json!({}))).await.json().await.unwrap();
    assert!(body.get("origin").is_none(), "the bare model: {body}");
}

#[tokio::test]
async fn a_client_may_say_how_long_the_answer_is_of_use() {
    let stage = Stage::start().await;
    let within = |model: &str, ms: &str| {
        let body = ask(model, "silent", json!({}));
        stage.post("/v1/chat/completions", &body).header("x-deadline-ms", ms).send()
    };
    let body: Value = within("frontdesk", "200").await.unwrap().json().await.unwrap();
    assert_eq!(body["degraded"], true, "{body}");
    refused(within("tiny", "200").await.unwrap(), 504, "deadline_exceeded", None).await;
    for bad in ["0", "soon", "-1"] {
        refused(within("tiny", bad).await.unwrap(), 400, "invalid_request", Some("x-deadline-ms")).await;
    }
}

#[tokio::test]
async fn a_failure_in_the_middle_is_an_event() {
    let stage = Stage::start().await;
    let events = Reader::new(complete(&stage, &ask("tiny", "break", json!({"stream": true}))).await).rest().await;
    let last = events.last().unwrap().json();
    assert_eq!((&last["error"]["code"], &last["error"]["type"]), (&json!("engine_failed"), &json!("server_error")));
    refused(complete(&stage, &ask("tiny", "break", json!({}))).await, 502, "engine_failed", None).await;
}

#[tokio::test]
async fn what_is_not_offered_is_refused_by_name() {
    let stage = Stage::start().await;
    let response = complete(&stage, &ask("gpt-9", "tell", json!({}))).await;
    refused(response, 404, "model_not_found", Some("model")).await;
    let response = complete(&stage, &ask("tiny", "tell", json!({"best_of": 2}))).await;
    refused(response, 400, "unsupported_parameter", Some("best_of")).await;
    let response = complete(&stage, &json!({"model": "tiny"})).await;
    refused(response, 400, "invalid_request", Some("messages")).await;
}

#[tokio::test]
async fn both_models_are_listed() {
    let stage = Stage::start().await;
    let body: Value = stage.get("/v1/models").send().await.unwrap().json().await.unwrap();
    let names: Vec<_> = body["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!((&body["object"], names), (&json!("list"), vec![json!("frontdesk"), json!("tiny")]));
    let one: Value = stage.get("/v1/models/tiny").send().await.unwrap().json().await.unwrap();
    assert_eq!(one, body["data"][1]);
    refused(stage.get("/v1/models/org/other").send().await.unwrap(), 404, "model_not_found", Some("model")).await;
}
