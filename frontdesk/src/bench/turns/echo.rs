//! `frontdesk bench echo`: an OpenAI-compatible server that gives the last message back at once, for the measurement of what
//! lies before it. One thread, so that it is as fast as a core allows.

use super::wire::number;
use crate::{cli::EchoBench, print};
use anyhow::Context;
use bytes::{Buf, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{borrow::Cow, fmt::Write, io};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const MODEL: &str = "echo";
const HEADERS_MAX: usize = 64;
/// No request is larger.
const REQUEST_MAX: usize = 16 << 20;

#[derive(Deserialize)]
struct Asked<'a> {
    stream: Option<bool>,
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

/// Serves until the process is told to stop.
pub fn run(bench: &EchoBench) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the server")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(bench.on).await.with_context(|| format!("--on {}", bench.on))?;
        print(&format!("http://{}/v1\n", listener.local_addr()?))?;
        tokio::select! {
            ended = accept(&listener) => ended.context("accepting connections"),
            told = tokio::signal::ctrl_c() => told.context("waiting for the end"),
        }
    })
}

async fn accept(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}

/// Answers one connection's requests until it is closed.
pub async fn serve(mut stream: TcpStream) {
    let mut buffer = BytesMut::with_capacity(8 << 10);
    while let Ok(Some(answer)) = next(&mut stream, &mut buffer).await {
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The answer to the next request; `None`: there is none.
async fn next(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some((head, body)) = request(buffer)? {
            let answer = answer(&buffer[..head], &buffer[head..head + body]);
            buffer.advance(head + body);
            return Ok(Some(answer));
        }
        buffer.reserve(4 << 10);
        if stream.read_buf(buffer).await? == 0 || buffer.len() > REQUEST_MAX {
            return Ok(None);
        }
    }
}

/// The sizes of a request's head and body, once both are there.
fn request(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let httparse::Status::Complete(head) = parsed else { return Ok(None) };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = length.map_or(Ok(0), |header| number(header.value))?;
    Ok((bytes.len() >= head + body).then_some((head, body)))
}

fn answer(head: &[u8], body: &[u8]) -> Vec<u8> {
    if head.starts_with(b"GET") {
        let list = json!({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "bench"}]});
        return whole("200 OK", &list);
    }
    match serde_json::from_slice::<Asked<'_>>(body) {
        Ok(asked) => {
            let text = asked.messages.last().map_or("", |message| &message.content);
            if asked.stream == Some(true) { streamed(text) } else { whole("200 OK", &completion(text)) }
        }
        Err(error) => {
            let error = json!({"message": error.to_string(), "type": "invalid_request_error", "code": null});
            whole("400 Bad Request", &json!({"error": error}))
        }
    }
}

fn completion(text: &str) -> Value {
    let message = json!({"role": "assistant", "content": text});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let tokens = text.split_whitespace().count();
    let usage = json!({"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens});
    json!({"id": "chatcmpl-echo", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice], "usage": usage})
}

fn whole(status: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A chunk for each word.
fn streamed(text: &str) -> Vec<u8> {
    let mut out =
        String::from("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut tell = |data: &str| {
        let _ = write!(out, "{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
    };
    let chunk = |delta: Value, reason: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        json!({"id": "chatcmpl-echo", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice]})
            .to_string()
    };
    text.split_inclusive(' ').for_each(|word| tell(&chunk(json!({"content": word}), None)));
    tell(&chunk(json!({}), Some("stop")));
    tell("[DONE]");
    out.push_str("0\r\n\r\n");
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{super::wire::Connection, *};

    fn post(body: &str) -> Vec<u8> {
        format!("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[tokio::test]
    async fn the_last_message_comes_back_whole_and_in_chunks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { accept(&listener).await });
        let mut connection = Connection::open(address).await.unwrap();
        let messages = r#""messages":[{"role":"system","content":"x"},{"role":"user","content":"one \"two\""}]"#;
        let reply = connection.ask(&post(&format!("{{{messages}}}"))).await.unwrap();
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], "one \"two\"");
        let reply = connection.ask(&post(&format!("{{\"stream\":true,{messages}}}"))).await.unwrap();
        let events = String::from_utf8(reply.body.to_vec()).unwrap();
        let events: Vec<_> = events.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        let word =
            |event: &str| serde_json::from_str::<Value>(event).unwrap()["choices"][0]["delta"]["content"].clone();
        assert_eq!(
            (word(events[0]), word(events[1]), events.len(), events[3]),
            (json!("one "), json!("\"two\""), 4, "[DONE]")
        );
        assert_eq!(connection.ask(&post("{")).await.unwrap().status, 400);
        assert_eq!(connection.ask(b"GET /v1/models HTTP/1.1\r\n\r\n").await.unwrap().status, 200);
    }
}
