//! One connection's way of asking: a completion, the repeat of an answered message, or a session's next turn.

use super::wire::{Connection, Reply, Socket};
use crate::cli::{Over, Route};
use anyhow::Context;
use reqwest::Url;
use serde_json::{Value, json};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};

/// A session has so many turns; then a new one begins, which is part of the load.
const TURNS_OF_A_SESSION: u32 = 10;
/// What customers ask.
const QUESTION: &str = "Where is my order? Its number is 4711, and it should have come last week.";
/// What the demo's knowledge has a curated answer to.
const CURATED: &str = "How do I reset my password?";
/// What many customers ask and no curated answer of the demo's ends; nothing in it is about one of them.
const COMMON: &str = "How do I return something that I bought?";
/// An answer's last event is looked for in so many bytes.
const END: usize = 2 << 10;

/// Where requests go, and whose.
#[derive(Debug, Clone)]
pub struct Server {
    pub address: SocketAddr,
    host: String,
    prefix: String,
    pub key: String,
    pub model: String,
    pub stream: bool,
}

impl Server {
    /// `flag` names the URL in errors.
    pub fn new(flag: &str, url: &str, key: &str, model: &str, stream: bool) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "http");
        let parsed = parsed.with_context(|| format!("{flag} {url}: expected a URL such as http://127.0.0.1:8080"))?;
        let (host, port) = (parsed.host_str().unwrap_or_default(), parsed.port_or_known_default().unwrap_or(80));
        let mut addresses =
            (host.trim_matches(['[', ']']), port).to_socket_addrs().with_context(|| format!("{flag} {url}"))?;
        let address = addresses.next().with_context(|| format!("{flag} {url}: the host has no address"))?;
        let prefix = parsed.path().trim_end_matches('/').trim_end_matches("/v1").to_string();
        Ok(Self { address, host: format!("{host}:{port}"), prefix, key: key.into(), model: model.into(), stream })
    }

    /// A whole request.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let Self { host, prefix, key, .. } = self;
        let length = body.len();
        format!(
            "{method} {prefix}{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn completion(&self) -> Vec<u8> {
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        let messages =
            [message("system", "You answer customers of a shop, briefly and kindly."), message("user", QUESTION)];
        let mut body = json!({"model": self.model, "messages": messages, "max_tokens": 64});
        if self.stream {
            body["stream"] = json!(true);
        }
        self.request("POST", "/v1/chat/completions", &body.to_string())
    }

    fn upgrade(&self, session: &str) -> Vec<u8> {
        let Self { host, prefix, key, .. } = self;
        // Any 16 bytes will do, since what the server makes of them is not looked at.
        format!(
            "GET {prefix}/v1/sessions/{session}/ws HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        .into_bytes()
    }

    /// A new session's id.
    pub async fn create(&self, connection: &mut Connection) -> Result<String, String> {
        let reply = connection.ask(&self.request("POST", "/v1/sessions", "")).await.map_err(broken)?;
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        body["id"].as_str().filter(|_| reply.status == 201).map(String::from).ok_or_else(|| code(&reply))
    }

    /// A WebSocket of `session`.
    pub async fn socket(&self, session: &str) -> Result<Socket, String> {
        let connection = Connection::open(self.address).await.map_err(broken)?;
        connection.upgrade(&self.upgrade(session)).await.map_err(broken)
    }
}

/// What is asked, and how.
#[derive(Debug, Clone)]
pub struct Way {
    pub route: Route,
    pub over: Over,
    pub question: Option<String>,
}

impl Way {
    fn question(&self) -> &str {
        let usual = match self.route {
            Route::Faq => CURATED,
            Route::Cached => COMMON,
            Route::PassThrough | Route::Repeat | Route::Turns => QUESTION,
        };
        self.question.as_deref().unwrap_or(usual)
    }
}

/// Asks on one connection, one request after the other.
pub struct Asker {
    server: Arc<Server>,
    way: Way,
    connection: Option<Connection>,
    socket: Option<Socket>,
    /// What is sent each time.
    request: Vec<u8>,
    /// Turns that the session may still have.
    left: u32,
}

impl Asker {
    pub fn new(server: Arc<Server>, way: Way) -> Self {
        Self { server, way, connection: None, socket: None, request: Vec::new(), left: 0 }
    }

    /// Makes the next request possible; its time is nobody's latency. The error is a code.
    pub async fn prepare(&mut self) -> Result<(), String> {
        let server = self.server.clone();
        if self.connection.is_none() {
            self.connection = Some(Connection::open(server.address).await.map_err(broken)?);
            self.left = 0;
        }
        let Some(connection) = self.connection.as_mut().filter(|_| self.left == 0) else { return Ok(()) };
        self.left = u32::MAX;
        match self.way.route {
            Route::PassThrough => self.request = server.completion(),
            Route::Repeat => {
                let session = server.create(connection).await?;
                self.request = submit(&server, &session, self.way.question(), Some("m-1"));
                self.plain().await?;
            }
            Route::Turns | Route::Faq | Route::Cached => {
                let session = server.create(connection).await?;
                self.left = if self.way.route == Route::Cached { 1 } else { TURNS_OF_A_SESSION };
                match self.way.over {
                    Over::Sse => self.request = submit(&server, &session, self.way.question(), None),
                    Over::Websocket => {
                        self.request =
                            json!({"type": "message", "content": self.way.question()}).to_string().into_bytes();
                        self.socket = Some(server.socket(&session).await?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks and awaits the whole answer; the error is a code.
    pub async fn ask(&mut self) -> Result<(), String> {
        self.left = self.left.saturating_sub(u32::from(self.left != u32::MAX));
        let asked = if self.socket.is_some() { self.framed().await } else { self.plain().await };
        if asked.is_err() {
            (self.connection, self.socket) = (None, None);
        }
        asked
    }

    async fn plain(&mut self) -> Result<(), String> {
        let connection = self.connection.as_mut().ok_or("no_connection")?;
        let reply = connection.ask(&self.request).await.map_err(broken)?;
        let end = String::from_utf8_lossy(&reply.body[reply.body.len().saturating_sub(END)..]);
        let failed = end.contains("event: failed\n") || end.contains("data: {\"error\"");
        if reply.status == 200 && !failed { self.is_meant(&end) } else { Err(code(&reply)) }
    }

    async fn framed(&mut self) -> Result<(), String> {
        let socket = self.socket.as_mut().ok_or("no_connection")?;
        socket.send(&self.request).await.map_err(broken)?;
        let end = last(socket).await?;
        self.is_meant(&end)
    }

    /// Whether the answer, whose end this is, came the way that is measured.
    fn is_meant(&self, end: &str) -> Result<(), String> {
        let is_from = |origin: &str| end.contains(&format!("\"origin\":\"{origin}\""));
        match self.way.route {
            Route::Faq if !is_from("faq") => Err("not_curated".into()),
            Route::Cached if !is_from("cache") => Err("not_cached".into()),
            _ => Ok(()),
        }
    }
}

/// Reads a turn on a WebSocket to its end, which it returns.
pub async fn last(socket: &mut Socket) -> Result<String, String> {
    loop {
        let text = socket.text().await.map_err(broken)?;
        let text = String::from_utf8_lossy(&text);
        if text.contains("\"type\":\"finished\"") {
            return Ok(text.into_owned());
        }
        if text.contains("\"type\":\"failed\"") {
            return Err(named(&text).unwrap_or_else(|| "failed".into()));
        }
    }
}

fn submit(server: &Server, session: &str, question: &str, id: Option<&str>) -> Vec<u8> {
    let mut body = json!({"content": question});
    if let Some(id) = id {
        body["client_message_id"] = json!(id);
    }
    server.request("POST", &format!("/v1/sessions/{session}/messages"), &body.to_string())
}

pub fn broken(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other => format!("status_{error}"),
        kind => kind.to_string().replace(' ', "_"),
    }
}

/// What an answer that is no answer says.
fn code(reply: &Reply) -> String {
    named(&String::from_utf8_lossy(&reply.body)).unwrap_or_else(|| format!("status_{}", reply.status))
}

fn named(text: &str) -> Option<String> {
    let (_, after) = text.rsplit_once("\"code\":")?;
    Some(after.trim_start().strip_prefix('"')?.split('"').next()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_servers_own_names() {
        let reply = |status, body: &'static str| Reply { status, body: body.into() };
        assert_eq!(code(&reply(429, r#"{"error":{"code": "rate_limited","param":null}}"#)), "rate_limited");
        assert_eq!(code(&reply(500, r#"{"error":{"code":null}}"#)), "status_500");
        assert_eq!(broken(io::ErrorKind::UnexpectedEof.into()), "unexpected_end_of_file");
    }

    #[test]
    fn requests_go_where_the_url_says() {
        let server = Server::new("--url", "http://127.0.0.1:81/a/v1/", "k", "m", true).unwrap();
        let text = String::from_utf8(server.completion()).unwrap();
        assert!(
            text.starts_with(
                "POST /a/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:81\r\nauthorization: Bearer k\r\n"
            )
        );
        assert!(text.contains("\"stream\":true"));
        let error = Server::new("--url", "ftp://x", "", "", false).unwrap_err().to_string();
        assert!(error.contains("--url ftp://x"), "{error}");
    }
}
