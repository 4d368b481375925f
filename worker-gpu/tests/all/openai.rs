//! The engine that asks a server, against a fake one.

use crate::{
    desk::{Answer, Desk},
    fake_server::{FakeServer, Script, start},
};
use protocol::{
    Aside, ChatMessage, ErrorCode, Event, FinishReason, JobId, Role, Tool, ToolCall, ToolChoice, Tools, Usage,
};
use serde_json::json;
use std::time::Duration;
use worker_gpu::{Config, Secret};

fn config(server: &FakeServer) -> Config {
    Config {
        engine: format!("openai:{}#fake-model", server.base),
        openai_key: Secret("secret".into()),
        openai_silence_ms: 2_000,
        max_sequences: 2,
        ..Config::default()
    }
}

fn said(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

fn ending() -> Vec<String> {
    let reason = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 } });
    vec![format!("data: {reason}\n\n"), format!("data: {usage}\n\n"), "data: [DONE]\n\n".into()]
}

fn failure_code(event: &Event) -> Option<ErrorCode> {
    match event {
        Event::Failed(failure) => Some(failure.code),
        _ => None,
    }
}

#[tokio::test]
async fn a_servers_stream_becomes_frames() {
    // One event comes in two pieces, cut within a line.
    let (first, second) = (said("密码"), said("可以"));
    let (head, tail) = second.split_at(20);
    let mut pieces = vec![": ping\n\n".to_string(), first, head.into(), tail.into(), said("重置。")];
    pieces.extend(ending());
    let server = start(Script::Stream(pieces, Duration::from_millis(5))).await;
    let mut desk = Desk::new().await;
    let worker = desk.work(config(&server));
    let mut envelope = desk.envelope("job_1", "如何重置密码?");
    envelope.body.prefix = "您的".into();
    desk.publish(&envelope).await;
    let answer = desk.answer().await;
    answer.assert_in_order();
    assert_eq!(answer.text(), "密码可以重置。", "{:?}", answer.events());
    let usage = Usage { prompt_tokens: 7, completion_tokens: 3 };
    let reason = FinishReason::Stop;
    assert_eq!(answer.last(), &Event::Finished { reason, usage });
    assert!(matches!(answer.events()[0], Event::Started { model, .. } if model == "fake-model"));
    let asked = server.asked.lock().unwrap()[0].clone();
    assert_eq!(asked["messages"][1], json!({ "role": "assistant", "content": "您的" }));
    assert_eq!((&asked["model"], &asked["max_tokens"]), (&json!("fake-model"), &json!(64)));
    worker.stop().await.unwrap();
}

fn delta(fields: serde_json::Value) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": fields }] }))
}

#[tokio::test]
async fn calls_and_reasoning_of_a_server_become_frames() {
    let arguments = |text: &str| delta(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": text } }] }));
    let mut pieces = vec![
        delta(json!({ "role": "assistant", "content": "", "reasoning_content": "Hm" })),
        delta(json!({ "reasoning": "." })),
        said("Well."),
        delta(
            json!({ "tool_calls": [{ "index": 0, "id": "c1", "type": "function", "function": { "name": "weather", "arguments": "" } }] }),
        ),
        arguments("{\"city\":"),
        arguments(" \"Bern\"}"),
        delta(json!({ "tool_calls": [{ "index": 1, "function": { "name": "clock", "arguments": "{}" } }] })),
    ];
    pieces.push("data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"tool_calls\"}]}\n\n".into());
    pieces.push("data: [DONE]\n\n".into());
    let server = start(Script::Stream(pieces, Duration::ZERO)).await;
    let mut desk = Desk::new().await;
    let worker = desk.work(config(&server));
    let mut envelope = desk.envelope("job_1", "How is the weather?");
    let call = ToolCall { id: "c0".into(), name: "clock".into(), arguments: "{}".into() };
    let asked = ChatMessage { tool_calls: vec![call], ..ChatMessage::new(Role::Assistant, "") };
    let result = ChatMessage { tool_call_id: Some("c0".into()), ..ChatMessage::new(Role::Tool, "noon") };
    envelope.body.messages.extend([asked, result]);
    let weather = Tool { name: "weather".into(), description: String::new(), parameters: json!({ "type": "object" }) };
    envelope.body.tools = Tools { offered: vec![weather], choice: ToolChoice::Required, single: true };
    envelope.body.thinking = Some(true);
    desk.publish(&envelope).await;
    let answer = desk.answer().await;
    answer.assert_in_order();
    let asides: Vec<Aside> = answer
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Aside(aside) => Some(aside.clone()),
            _ => None,
        })
        .collect();
    let reasoning: String = asides.iter().map(|aside| aside.reasoning.as_str()).collect();
    let mut calls = Vec::new();
    asides.into_iter().flat_map(|aside| aside.calls).for_each(|piece| piece.join(&mut calls));
    assert_eq!((reasoning.as_str(), answer.text().as_str()), ("Hm.", "Well."));
    assert_eq!(
        calls[0],
        ToolCall { id: "c1".into(), name: "weather".into(), arguments: "{\"city\": \"Bern\"}".into() }
    );
    assert!(calls[1].name == "clock" && calls[1].id.starts_with("call_"), "{calls:?}");
    assert!(matches!(answer.last(), Event::Finished { reason: FinishReason::ToolCalls, .. }));
    let asked = server.asked.lock().unwrap()[0].clone();
    assert_eq!(asked["messages"][1]["tool_calls"][0]["function"], json!({ "name": "clock", "arguments": "{}" }));
    assert_eq!(asked["messages"][2], json!({ "role": "tool", "content": "noon", "tool_call_id": "c0" }));
    assert_eq!(asked["tools"][0]["function"]["name"], "weather");
    assert_eq!((&asked["tool_choice"], &asked["parallel_tool_calls"]), (&json!("required"), &json!(false)));
    assert_eq!(asked["chat_template_kwargs"], json!({ "enable_thinking": true }));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn cancelling_closes_the_connection_to_the_server() {
    let words = (0..1_000).map(|n| said(&format!("word{n} "))).collect();
    let mut server = start(Script::Stream(words, Duration::from_millis(10))).await;
    let mut desk = Desk::new().await;
    let _worker = desk.work(config(&server));
    desk.submit("job_1", "talk for ever").await;
    desk.reply().await;
    desk.cancel("job_1").await;
    assert!(matches!(desk.answer().await.last(), Event::Finished { reason: FinishReason::Cancelled, .. }));
    tokio::time::timeout(Duration::from_secs(5), server.abandoned.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_the_server_refuses_is_told_apart() {
    let too_long = r#"{"error":{"message":"This model's maximum context length is 4096 tokens."}}"#;
    for (script, code) in [
        (Script::Refuse(400, too_long), ErrorCode::ContextLengthExceeded),
        (Script::Refuse(503, "{}"), ErrorCode::Overloaded),
        (Script::Refuse(500, "not json"), ErrorCode::EngineFailed),
        (Script::BreakOff(said("half of it")), ErrorCode::Unavailable),
        (Script::Stream(vec![said("no end")], Duration::ZERO), ErrorCode::Unavailable),
        (Script::Stream(vec!["data: garbage\n\n".into()], Duration::ZERO), ErrorCode::Unavailable),
    ] {
        let server = start(script).await;
        let mut desk = Desk::new().await;
        let worker = desk.work(config(&server));
        desk.submit("job_1", "hello").await;
        assert_eq!(failure_code(desk.answer().await.last()), Some(code));
        worker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_silent_or_absent_server_is_given_up() {
    let silent = start(Script::Stream(vec![said("a"), said("b")], Duration::from_secs(60))).await;
    let absent = FakeServer { base: "http://127.0.0.1:9/v1".into(), ..start(Script::Refuse(500, "")).await };
    for server in [silent, absent] {
        let mut desk = Desk::new().await;
        let impatient = Config { openai_silence_ms: 200, ..config(&server) };
        let worker = desk.work(impatient);
        desk.submit("job_1", "hello").await;
        assert_eq!(failure_code(desk.answer().await.last()), Some(ErrorCode::Unavailable));
        worker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn two_answers_at_once_keep_their_characters_apart() {
    let server = start(Script::Repeat).await;
    let mut desk = Desk::new().await;
    let worker = desk.work(config(&server));
    let texts = [("job_1", "如何重置密码🙂?"), ("job_2", "Wie geht das mit dem Schlüssel?")];
    for (job, text) in texts {
        desk.submit(job, text).await;
    }
    // Neither is begun before both were asked for, so they run at the same time.
    let mut answers = texts.map(|(job, _)| (JobId::parse(job).unwrap(), Answer(Vec::new())));
    while answers.iter().any(|(_, answer)| !answer.0.iter().any(|reply| reply.events.iter().any(is_last))) {
        let reply = desk.reply().await;
        let (_, answer) = answers.iter_mut().find(|(job, _)| *job == reply.job).unwrap();
        answer.0.push(reply);
    }
    for ((_, answer), (_, text)) in answers.iter().zip(texts) {
        answer.assert_in_order();
        assert_eq!(answer.text(), text);
        assert!(matches!(answer.last(), Event::Finished { reason: FinishReason::Stop, .. }));
    }
    worker.stop().await.unwrap();
}

fn is_last(event: &Event) -> bool {
    matches!(event, Event::Finished { .. } | Event::Failed(_))
}

#[tokio::test]
async fn nothing_is_shown_from_a_stop_string_on_even_if_the_server_sends_it() {
    let mut obedient = vec![said("one E"), said("ND")];
    obedient.extend(ending());
    let deaf = [said("one E"), said("ND"), said(" two"), said(" three")].to_vec();
    for (pieces, completion_tokens) in [(obedient, 3), (deaf, 3)] {
        let server = start(Script::Stream(pieces, Duration::ZERO)).await;
        let mut desk = Desk::new().await;
        let worker = desk.work(config(&server));
        let mut envelope = desk.envelope("job_1", "count");
        envelope.body.sampling.stop = vec!["END".into()];
        desk.publish(&envelope).await;
        let answer = desk.answer().await;
        assert_eq!(answer.text(), "one ");
        let Event::Finished { reason, usage } = answer.last() else { panic!("{:?}", answer.last()) };
        assert_eq!((*reason, usage.completion_tokens), (FinishReason::Stop, completion_tokens));
        worker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = start(Script::Refuse(500, "")).await;
    let server = start(Script::Redirect(other.base.clone())).await;
    let mut desk = Desk::new().await;
    let worker = desk.work(config(&server));
    desk.submit("job_1", "my secret").await;
    assert_eq!(failure_code(desk.answer().await.last()), Some(ErrorCode::EngineFailed));
    assert_eq!(other.asked.lock().unwrap().len(), 0);
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_refusal_without_end_is_cut_off() {
    let mut server = start(Script::Flood(400)).await;
    let mut desk = Desk::new().await;
    let worker = desk.work(config(&server));
    desk.submit("job_1", "hello").await;
    assert_eq!(failure_code(desk.answer().await.last()), Some(ErrorCode::InvalidRequest));
    tokio::time::timeout(Duration::from_secs(5), server.abandoned.recv()).await.unwrap().unwrap();
    worker.stop().await.unwrap();
}
