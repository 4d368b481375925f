//! The two ways in which a customer reads an answer.

use crate::record::Seen;
use futures_util::{SinkExt, StreamExt};
use protocol::TurnEvent;
use reqwest::Response;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message as Frame, client::IntoClientRequest},
};

/// A stream that shows nothing for this long, not even that it is alive, is given up.
const SILENCE: Duration = Duration::from_secs(5);
/// So is one that is alive and has nothing to tell for this long.
const BOREDOM: Duration = Duration::from_secs(20);
const PING: Duration = Duration::from_secs(1);

/// How a customer talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Sse,
    Socket,
}

/// How a customer comes back to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// By sending the message again.
    Message,
    /// By the name of its turn, if that is known.
    Turn,
}

/// What is said, and where.
pub struct Call<'a> {
    pub http: &'a reqwest::Client,
    /// Of the gateway.
    pub url: &'a str,
    pub key: &'a str,
    pub session: &'a str,
    pub id: &'a str,
    pub text: &'a str,
    /// The last event that was seen.
    pub after: Option<(String, u64)>,
}

/// Why there is no stream.
#[derive(Debug)]
pub enum NoStream {
    /// The gateway says so, and when to come back.
    Refused(Duration),
    /// It could not be asked, or has not answered.
    Broken,
}

/// An answer as it streams.
pub enum Events {
    Sse(Response, Vec<u8>),
    Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

impl Call<'_> {
    pub async fn open(&self, way: Way, back: Back) -> Result<Events, NoStream> {
        let turn = self.after.as_ref().filter(|_| back == Back::Turn);
        let opened = async {
            match way {
                Way::Sse => self.request(turn).await,
                Way::Socket => self.socket(turn).await,
            }
        };
        timeout(SILENCE, opened).await.unwrap_or(Err(NoStream::Broken))
    }

    async fn request(&self, turn: Option<&(String, u64)>) -> Result<Events, NoStream> {
        let session = format!("{}/v1/sessions/{}", self.url, self.session);
        let last = self.after.as_ref().map(|(job, seq)| format!("{job}:{seq}")).unwrap_or_default();
        let request = match turn {
            Some((job, _)) => self.http.get(format!("{session}/turns/{job}/events")),
            None => {
                let body = json!({"content": self.text, "client_message_id": self.id});
                self.http.post(format!("{session}/messages")).header("accept", "text/event-stream").json(&body)
            }
        };
        let sent = request.bearer_auth(self.key).header("last-event-id", last).send().await;
        let response = sent.map_err(|_| NoStream::Broken)?;
        if response.status() == 200 {
            return Ok(Events::Sse(response, Vec::new()));
        }
        let after = response.headers().get("retry-after-ms").and_then(|value| value.to_str().ok()?.parse().ok());
        Err(NoStream::Refused(Duration::from_millis(after.unwrap_or(500))))
    }

    async fn socket(&self, turn: Option<&(String, u64)>) -> Result<Events, NoStream> {
        let url = format!("{}/v1/sessions/{}/ws", self.url.replace("http:", "ws:"), self.session);
        let mut request = url.into_client_request().map_err(|_| NoStream::Broken)?;
        request.headers_mut().insert("authorization", format!("Bearer {}", self.key).parse().unwrap());
        let (mut socket, _) = connect_async(request).await.map_err(|error| match error {
            Error::Http(_) => NoStream::Refused(Duration::from_millis(500)),
            _ => NoStream::Broken,
        })?;
        let message = match turn {
            Some((job, seq)) => json!({"type": "resume", "turn": job, "last_seq": seq}),
            None => json!({"type": "message", "content": self.text, "client_message_id": self.id}),
        };
        socket.send(Frame::text(message.to_string())).await.map_err(|_| NoStream::Broken)?;
        Ok(Events::Socket(Box::new(socket)))
    }
}

impl Events {
    /// Whether the gateway has said that it took the message.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Events::Sse(..))
    }

    /// The next event; the error is why there is none.
    pub async fn next(&mut self) -> Result<Seen, NoStream> {
        let next = async {
            match self {
                Events::Sse(response, buffer) => next_block(response, buffer).await,
                Events::Socket(socket) => next_frame(socket).await,
            }
        };
        timeout(BOREDOM, next).await.unwrap_or(Err(NoStream::Broken))
    }
}

async fn next_block(response: &mut Response, buffer: &mut Vec<u8>) -> Result<Seen, NoStream> {
    loop {
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = buffer.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block).into_owned();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                return seen(id, serde_json::from_str(data).unwrap());
            }
        }
        match timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(bytes))) => buffer.extend_from_slice(&bytes),
            _ => return Err(NoStream::Broken),
        }
    }
}

async fn next_frame(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<Seen, NoStream> {
    let mut heard = Instant::now();
    while heard.elapsed() < SILENCE {
        match timeout(PING, socket.next()).await {
            Ok(Some(Ok(Frame::Text(text)))) => {
                let mut frame: Value = serde_json::from_str(&text).unwrap();
                if frame["type"] == "moved" {
                    break;
                }
                let id = frame.as_object_mut().and_then(|fields| fields.remove("id"));
                return match id {
                    Some(id) => seen(id.as_str().unwrap(), serde_json::from_value(frame).unwrap()),
                    // The message was not taken.
                    None => Err(NoStream::Refused(Duration::from_millis(500))),
                };
            }
            Ok(Some(Ok(Frame::Close(_)) | Err(_)) | None) => break,
            Ok(Some(Ok(_))) => heard = Instant::now(),
            Err(_) => {
                let _ = timeout(PING, socket.send(Frame::Ping(Default::default()))).await;
            }
        }
    }
    Err(NoStream::Broken)
}

fn seen(id: &str, event: TurnEvent) -> Result<Seen, NoStream> {
    let (job, seq) = id.rsplit_once(':').unwrap();
    Ok(Seen { job: job.into(), seq: seq.parse().unwrap(), event })
}
