//! Models that another server answers.

use crate::{
    sse::Reader,
    stage::{SOON, Stage, refused},
    upstream::{EVENT, KEY, Upstream, whole},
};
use reqwest::Response;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A gateway with the model `far`, whose server is `upstream`, and changed keys of its entry.
async fn stage(upstream: &Upstream, patch: Value, limits: Value) -> Stage {
    let mut entry = json!({"model": "far", "url": format!("http://{}/v1/", upstream.address), "key": KEY});
    entry.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    Stage::with(json!({"upstreams": [entry]}), limits).await
}

fn body(content: &str) -> Value {
    json!({"model": "far", "messages": [{"role": "user", "content": content}], "a_field": "that nobody knows"})
}

async fn ask(stage: &Stage, content: &str) -> Response {
    stage.post("/v1/chat/completions", &body(content)).send().await.unwrap()
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let patience = Instant::now();
    while !done() {
        assert!(patience.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn request_and_answer_pass_as_they_are_and_the_tenants_key_stays() {
    let upstream = Upstream::start();
    let stage = stage(&upstream, json!({}), json!({})).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for _ in 0..2 {
        let request = stage.post("/v1/chat/completions", &body("tell")).header("traceparent", trace);
        let response = request.header("cookie", "secret").send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        assert_eq!(response.json::<Value>().await.unwrap(), whole());
    }
    let seen = upstream.seen();
    assert_eq!(serde_json::from_slice::<Value>(&seen[0].body).unwrap(), body("tell"));
    let header = |name: &str| seen[0].headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!((header("authorization"), header("traceparent")), (Some("Bearer server-key"), Some(trace)));
    assert!(header("cookie").is_none() && seen[0].headers.iter().all(|(_, value)| !value.contains("key-a")));
    assert_eq!(seen[0].peer, seen[1].peer, "one connection carries both");
    let list: Value = stage.get("/v1/models").send().await.unwrap().json().await.unwrap();
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["frontdesk", "tiny", "far"]);
    assert_eq!(stage.get("/v1/models/far").send().await.unwrap().status(), 200);
    let metrics = stage.client.get(stage.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("frontdesk_passed_through_total{model=\"far\",status=\"200\"}"), "{metrics}");
    assert!(metrics.contains("frontdesk_tenant_tokens_total{tenant=\"a\",kind=\"completion\"}"), "{metrics}");
}

#[tokio::test]
async fn a_stream_is_told_as_it_comes() {
    let upstream = Upstream::start();
    let stage = stage(&upstream, json!({}), json!({})).await;
    let mut reader = Reader::new(ask(&stage, "stream").await);
    assert_eq!(format!("data: {}\n\n", reader.next().await.unwrap().data), EVENT);
    assert_eq!(reader.block().await.unwrap().comment, "keep-alive", "the server waits for the test");
    upstream.step();
    let rest = reader.rest().await;
    assert_eq!(rest.last().unwrap().data, "[DONE]");
    assert_eq!(rest[rest.len() - 2].json()["usage"]["prompt_tokens"], 5);
    assert_eq!(upstream.running(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_servers_work_at_once() {
    let upstream = Upstream::start();
    let stage = stage(&upstream, json!({}), json!({})).await;
    let mut reader = Reader::new(ask(&stage, "hang").await);
    reader.next().await.unwrap();
    assert_eq!(upstream.running(), 1);
    drop(reader);
    until("the server still streams", || upstream.running() == 0).await;
    let request = stage.post("/v1/chat/completions", &body("silent")).send();
    assert!(tokio::time::timeout(Duration::from_millis(100), request).await.is_err());
    assert_eq!(upstream.seen().len(), 2);
    until("the server still computes", || upstream.running() == 0).await;
}

#[tokio::test]
async fn a_server_that_dies_is_told_of() {
    let upstream = Upstream::start();
    let stage = stage(&upstream, json!({}), json!({})).await;
    let events = Reader::new(ask(&stage, "die").await).rest().await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(
        (&events[1].json()["error"]["code"], &events[1].json()["error"]["type"]),
        (&json!("engine_failed"), &json!("server_error"))
    );
    let mut torn = ask(&stage, "tear").await;
    assert_eq!(torn.status(), 200);
    while let Some(piece) = torn.chunk().await.transpose() {
        if piece.is_err() {
            return refused_after(ask(&stage, "cut").await, 502, "engine_failed").await;
        }
    }
    panic!("a stream that breaks off within an event must not end well");
}

async fn refused_after(response: Response, status: u16, code: &str) {
    assert!(
        response.headers().contains_key("retry-after") && response.headers().contains_key("retry-after-ms"),
        "{code}"
    );
    refused(response, status, code, None).await;
}

#[tokio::test]
async fn a_slow_server_is_given_up() {
    let upstream = Upstream::start();
    let stage = stage(&upstream, json!({"silence_ms": 250}), json!({})).await;
    refused_after(ask(&stage, "silent").await, 504, "deadline_exceeded").await;
    let mut reader = Reader::new(ask(&stage, "hang").await);
    reader.next().await.unwrap();
    assert_eq!(reader.block().await.unwrap().comment, "keep-alive");
    let events = reader.rest().await;
    assert_eq!(events.last().unwrap().json()["error"]["code"], "deadline_exceeded");
    until("the server still computes", || upstream.running() == 0).await;
}

#[tokio::test]
async fn a_servers_errors_are_told_in_openais_words() {
    let upstream = Upstream::start();
    let stage = stage(&upstream, json!({}), json!({})).await;
    for (content, status, code) in [
        ("401", 502, "engine_failed"),
        ("404", 502, "engine_failed"),
        ("429", 503, "overloaded"),
        ("500", 502, "engine_failed"),
        ("503", 503, "overloaded"),
        ("504", 504, "deadline_exceeded"),
        ("302", 502, "engine_failed"),
        ("html", 502, "engine_failed"),
        ("torn", 502, "engine_failed"),
    ] {
        let response = ask(&stage, content).await;
        let wait = if content.parse::<u16>().is_ok() { "7" } else { "1" };
        assert_eq!(response.headers()["retry-after"], wait, "{content}");
        refused(response, status, code, None).await;
    }
    let clients = ask(&stage, "400").await;
    assert_eq!((clients.status().as_u16(), clients.headers().get("retry-after")), (400, None));
    assert_eq!(clients.json::<Value>().await.unwrap()["error"]["code"], "y", "the server's own words");
}

#[tokio::test]
async fn what_cannot_be_sent_on_is_refused_here() {
    let upstream = Upstream::start();
    let stage = stage(&upstream, json!({"max_requests": 1}), json!({"concurrent_turns": 2})).await;
    let raw = |body: String| stage.post("/v1/chat/completions", &json!({})).body(body).send();
    refused(raw("{\"model\": \"far\", ".into()).await.unwrap(), 400, "invalid_request", None).await;
    let large = json!({"model": "far", "messages": [{"content": "x".repeat(300_000)}]}).to_string();
    refused(raw(large).await.unwrap(), 413, "payload_too_large", None).await;
    assert_eq!(upstream.seen().len(), 0);
    let mut first = Reader::new(ask(&stage, "hang").await);
    first.next().await.unwrap();
    refused_after(ask(&stage, "tell").await, 503, "overloaded").await;
    let tiny = json!({"model": "tiny", "stream": true, "messages": [{"role": "user", "content": "hang"}]});
    let second = stage.post("/v1/chat/completions", &tiny).send().await.unwrap();
    refused_after(ask(&stage, "tell").await, 429, "rate_limited").await;
    drop((first, second));
    until("the places were not given back", || upstream.running() == 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&stage, "tell").await.status(), 200);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of() {
    let upstream = Upstream::start();
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stage = stage(&upstream, json!({"url": format!("http://{away}/v1")}), json!({})).await;
    refused_after(ask(&stage, "tell").await, 503, "unavailable").await;
}

/// Answers one request on each connection, and closes it when the next one comes.
async fn forgetful(listener: TcpListener) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            assert!(socket.read(&mut request).await.unwrap() > 0);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
            socket.write_all(head.as_bytes()).await.unwrap();
            let _ = socket.read(&mut request).await;
        });
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_answer() {
    let (upstream, listener) = (Upstream::start(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(forgetful(listener));
    let stage = stage(&upstream, json!({"url": url}), json!({})).await;
    for _ in 0..4 {
        assert_eq!(ask(&stage, "tell").await.status(), 200);
    }
}
