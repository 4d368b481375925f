//! A customer: sessions, messages and their event streams.

use crate::harness::{KEY, http};
use futures_util::StreamExt;
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// Talks to one gateway as one tenant.
#[derive(Clone)]
pub struct Customer {
    http: Client,
    url: String,
    key: &'static str,
}

/// One server-sent event.
#[derive(Debug)]
pub struct SseEvent {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Customer {
    pub fn new(url: &str) -> Self {
        Self::with_key(url, KEY)
    }

    pub fn with_key(url: &str, key: &'static str) -> Self {
        Self { http: http(), url: url.into(), key }
    }

    pub async fn create(&self) -> String {
        let answer = self.http.post(format!("{}/v1/sessions", self.url)).bearer_auth(self.key).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_string()
    }

    pub async fn history(&self, session: &str) -> Value {
        let url = format!("{}/v1/sessions/{session}", self.url);
        self.http.get(url).bearer_auth(self.key).send().await.unwrap().json().await.unwrap()
    }

    /// Posts a message; `accept` is the answer's media type.
    pub async fn post(&self, session: &str, body: Value, accept: &str) -> Response {
        let url = format!("{}/v1/sessions/{session}/messages", self.url);
        let request = self.http.post(url).bearer_auth(self.key).header("accept", accept).json(&body);
        request.send().await.unwrap()
    }

    /// The whole answer as one object.
    pub async fn ask(&self, session: &str, content: &str) -> Value {
        let answer = self.post(session, json!({ "content": content }), "application/json").await;
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{status}: {body}");
        body
    }

    /// The answer as it streams.
    pub async fn stream(&self, session: &str, content: &str) -> Events {
        let answer = self.post(session, json!({ "content": content }), "text/event-stream").await;
        assert_eq!(answer.status(), 200);
        Events::of(answer)
    }

    /// Posts a message again, to go on after the event `last_id`.
    pub async fn resume(&self, session: &str, body: Value, last_id: Option<&str>) -> Response {
        let url = format!("{}/v1/sessions/{session}/messages", self.url);
        let request = self.http.post(url).bearer_auth(self.key).json(&body);
        last_id.into_iter().fold(request, |request, id| request.header("last-event-id", id)).send().await.unwrap()
    }
}

/// A stream of server-sent events.
pub struct Events {
    response: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

impl Events {
    /// The events of `answer`.
    pub fn of(answer: Response) -> Self {
        Self { response: answer.bytes_stream().boxed(), buffer: Vec::new() }
    }

    /// The next event; comments are skipped.
    pub async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8(block).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            self.buffer.extend_from_slice(&self.response.next().await?.ok()?);
        }
    }

    /// Reads to the end: the concatenated tokens, and the last event.
    pub async fn finish(mut self, mut seen: String) -> (String, SseEvent) {
        while let Some(event) = self.next().await {
            match event.name.as_str() {
                "token" => seen.push_str(event.data["text"].as_str().unwrap()),
                "finished" | "failed" => return (seen, event),
                _ => {}
            }
        }
        panic!("the stream ended without a last event after {seen:?}");
    }
}

fn parse(block: &str) -> Option<SseEvent> {
    let field =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_string());
    let data = serde_json::from_str(&field("data:")?).unwrap();
    Some(SseEvent { id: field("id:").unwrap_or_default(), name: field("event:").unwrap_or_default(), data })
}
