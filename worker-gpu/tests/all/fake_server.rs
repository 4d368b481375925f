//! A fake of an OpenAI-compatible server: says what the test tells it, and remembers what it was asked.

use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// What the fake does with every completion request.
#[derive(Clone)]
pub enum Script {
    /// Sends these pieces of the body with a pause after each, then ends it.
    Stream(Vec<String>, Duration),
    /// Says the last message again, byte by byte, once two requests are open.
    Repeat,
    /// Refuses with this status and a body without end.
    Flood(u16),
    /// Points to another server.
    Redirect(String),
    /// Answers with this status and body.
    Refuse(u16, &'static str),
    /// Sends the first piece and then closes the connection in the middle of the body.
    BreakOff(String),
}

pub struct FakeServer {
    pub base: String,
    pub asked: Arc<Mutex<Vec<Value>>>,
    /// One message for each request whose client left before its end.
    pub abandoned: mpsc::UnboundedReceiver<()>,
}

pub async fn start(script: Script) -> FakeServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (left, abandoned) = mpsc::unbounded_channel();
    let memory = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, script.clone(), memory.clone(), left.clone()));
        }
    });
    FakeServer { base, asked, abandoned }
}

async fn serve(
    mut stream: TcpStream,
    script: Script,
    asked: Arc<Mutex<Vec<Value>>>,
    left: mpsc::UnboundedSender<()>,
) -> Option<()> {
    let (head, body) = read_request(&mut stream).await?;
    if head.starts_with("GET") {
        let list = r#"{"object":"list","data":[{"id":"fake-model"}]}"#;
        return write(&mut stream, &plain(200, list)).await;
    }
    assert!(head.to_lowercase().contains("authorization: bearer secret"), "{head}");
    asked.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    match script {
        Script::Refuse(status, body) => write(&mut stream, &plain(status, body)).await,
        Script::BreakOff(piece) => {
            write(&mut stream, STREAM).await?;
            write(&mut stream, &chunk(&piece)).await
        }
        Script::Redirect(base) => {
            let head = format!("HTTP/1.1 307 X\r\nlocation: {base}/chat/completions\r\ncontent-length: 0\r\n\r\n");
            write(&mut stream, head).await
        }
        Script::Flood(status) => {
            write(&mut stream, STREAM.replace("200", &status.to_string())).await?;
            let piece = chunk("x".repeat(10_000));
            while write(&mut stream, &piece).await.is_some() {}
            left.send(()).ok()
        }
        Script::Repeat => {
            while asked.lock().unwrap().len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let text = asked["messages"].as_array().unwrap().last().unwrap()["content"].clone();
            let said = json!({ "choices": [{ "delta": { "content": text }, "finish_reason": "stop" }] });
            let bytes = format!("data: {said}\n\ndata: [DONE]\n\n").into_bytes();
            send(&mut stream, bytes.chunks(1), Duration::from_millis(1), left).await
        }
        Script::Stream(pieces, pause) => send(&mut stream, pieces, pause, left).await,
    }
}

async fn send(
    stream: &mut TcpStream,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
    pause: Duration,
    left: mpsc::UnboundedSender<()>,
) -> Option<()> {
    write(stream, STREAM).await?;
    for piece in pieces {
        let closed = write(stream, chunk(piece)).await.is_none() || is_closed(stream, pause).await;
        if closed {
            let _ = left.send(());
            return None;
        }
    }
    write(stream, "0\r\n\r\n").await
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";

fn plain(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn chunk(piece: impl AsRef<[u8]>) -> Vec<u8> {
    let piece = piece.as_ref();
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

async fn write(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) -> Option<()> {
    stream.write_all(bytes.as_ref()).await.ok()?;
    stream.flush().await.ok()
}

/// Waits for `pause`, or until the client closes.
async fn is_closed(stream: &mut TcpStream, pause: Duration) -> bool {
    let mut byte = [0];
    matches!(tokio::time::timeout(pause, stream.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length =
            head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            return Some((head, bytes[end + 4..].to_vec()));
        }
    }
}
