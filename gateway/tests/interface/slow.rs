//! Readers that take nothing.

use crate::{
    sse::Reader,
    stage::{SOON, Stage},
    worker::FLOOD,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

const PATIENCE_MS: u64 = 500;

async fn stage() -> Stage {
    let session = actors::Config { answer_tokens: 4_096, max_answer_tokens: 4_096, ..actors::Config::default() };
    Stage::with_session(json!({"slow_reader_ms": PATIENCE_MS}), json!({}), session).await
}

/// A connection whose own side holds little, on which `head` was sent.
async fn connect(stage: &Stage, head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(stage.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn cut(stage: &Stage, over: &str) -> u64 {
    let metrics = stage.client.get(stage.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let name = format!("frontdesk_readers_cut_total{{over=\"{over}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// Waits until a reader over `over` was cut, and returns what came before.
async fn until_cut(stage: &Stage, over: &str, mut stream: TcpStream) -> String {
    let started = Instant::now();
    while cut(stage, over).await == 0 {
        assert!(started.elapsed() < SOON, "nobody was cut");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(started.elapsed() > Duration::from_millis(PATIENCE_MS / 2), "{:?}", started.elapsed());
    let mut told = Vec::new();
    // It ends with an error, since the server threw away what was not taken.
    let _ = timeout(SOON, stream.read_to_end(&mut told)).await.unwrap();
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test]
async fn an_event_stream_that_is_not_read_is_cut_and_can_be_resumed() {
    let stage = stage().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let message = json!({"content": "flood", "client_message_id": "m1"});
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-a\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{message}",
        message.to_string().len()
    );
    let stream = connect(&stage, &head).await;
    let told = until_cut(&stage, "sse", stream).await;
    assert!(told.contains("event: token") && !told.contains("event: finished"));
    let id = told.rsplit("\nid: ").find_map(|part| part.split_once('\n')).unwrap().0.to_string();
    let number = |id: &str| id.rsplit_once(':').unwrap().1.parse::<u32>().unwrap();
    let seq = number(&id);
    let request = stage.post(&path, &message).header("last-event-id", id);
    let rest = Reader::new(request.send().await.unwrap()).rest().await;
    assert_eq!(rest.last().unwrap().name, "finished");
    // The turn has ended meanwhile, so what follows is the stored answer in one event.
    assert!(number(&rest.first().unwrap().id) > seq);
    assert_eq!(rest.last().unwrap().json()["text"].as_str().unwrap().len(), FLOOD as usize * 2_048);
}

#[tokio::test]
async fn a_socket_that_is_not_read_is_cut() {
    let stage = stage().await;
    let head = format!(
        "GET /v1/sessions/{}/ws HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-a\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        stage.session().await
    );
    let mut stream = connect(&stage, &head).await;
    // A frame whose mask is zero.
    let frame: Value = json!({"type": "message", "content": "flood"});
    let frame = frame.to_string();
    stream.write_all(&[0x81, 0x80 | u8::try_from(frame.len()).unwrap(), 0, 0, 0, 0]).await.unwrap();
    stream.write_all(frame.as_bytes()).await.unwrap();
    let told = until_cut(&stage, "websocket", stream).await;
    assert!(told.contains("\"token\"") && !told.contains("\"finished\""));
}

#[tokio::test]
async fn a_slow_reader_that_takes_something_is_not_cut() {
    let stage = stage().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let mut response = stage.post(&path, &json!({"content": "flood"})).send().await.unwrap();
    let mut told = String::new();
    while let Some(piece) = timeout(SOON, response.chunk()).await.unwrap().unwrap() {
        told += std::str::from_utf8(&piece).unwrap();
        // In all longer than a reader may take nothing.
        if told.len() < 30_000 {
            sleep(Duration::from_millis(PATIENCE_MS / 5)).await;
        }
    }
    assert!(told.contains("event: finished"));
}
