//! Readers that leave, and silence.

use crate::{
    sse::Reader,
    stage::{SOON, Stage},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

fn completion(content: &str, stream: bool) -> Value {
    json!({"model": "tiny", "stream": stream, "messages": [{"role": "user", "content": content}]})
}

#[tokio::test]
async fn a_reader_that_leaves_frees_the_worker() {
    let mut stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let mut reader = Reader::new(stage.post(&path, &json!({"content": "hang"})).send().await.unwrap());
    while reader.next().await.unwrap().name != "token" {}
    assert!(!stage.has_cancelled());
    drop(reader);
    stage.cancelled("job_").await;
}

#[tokio::test]
async fn a_stateless_stream_is_cancelled_as_soon_as_its_reader_leaves() {
    let mut stage = Stage::start().await;
    let response = stage.post("/v1/chat/completions", &completion("hang", true)).send().await.unwrap();
    let mut reader = Reader::new(response);
    let job = reader.next().await.unwrap().json()["id"].as_str().unwrap().trim_start_matches("chatcmpl-").to_string();
    drop(reader);
    stage.cancelled(&job).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_byte_frees_the_worker() {
    let mut stage = Stage::start().await;
    for stream in [true, false] {
        let request = stage.post("/v1/chat/completions", &completion("silent", stream)).send();
        assert!(timeout(Duration::from_millis(60), request).await.is_err(), "nothing is answered yet");
        stage.cancelled("job_").await;
    }
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let mut reader = Reader::new(stage.post(&path, &json!({"content": "silent"})).send().await.unwrap());
    let mut comments = 0;
    while comments < 3 {
        comments += usize::from(reader.block().await.unwrap().comment == "keep-alive");
    }
    let mut reader = Reader::new(stage.post("/v1/chat/completions", &completion("silent", true)).send().await.unwrap());
    assert_eq!(reader.block().await.unwrap().json()["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(reader.block().await.unwrap().comment, "keep-alive");
}

/// Sends `head` and then nothing, and returns what comes back.
async fn slow(stage: &Stage, head: &str) -> String {
    let mut socket = TcpStream::connect(stage.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused_in_time() {
    let stage = Stage::with(json!({"read_timeout_ms": 300}), json!({})).await;
    let head = "POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-a\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = slow(&stage, head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"request_timeout\""), "{answer}");
    assert!(answer.contains("300 ms"), "{answer}");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_waited_for() {
    let stage = Stage::with(json!({"read_timeout_ms": 60_000}), json!({})).await;
    let head = "POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-a\r\n\
                content-length: 1048576\r\n\r\n";
    let answer = slow(&stage, head).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"payload_too_large\""), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused_in_time() {
    let stage = Stage::with(json!({"read_timeout_ms": 300}), json!({})).await;
    let answer = slow(&stage, "GET /livez HTTP/1.1\r\nhost: local").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
