//! Conversations on a WebSocket.

use crate::stage::{SOON, Stage, refused};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::Response, protocol::frame::coding::CloseCode},
};

pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// Connects with a header, unless its name is empty.
    async fn connect(stage: &Stage, path: &str, header: (&'static str, &str)) -> Result<(Self, Response<()>), Error> {
        let mut request = format!("ws://{}{path}", stage.address).into_client_request()?;
        if !header.0.is_empty() {
            request.headers_mut().insert(header.0, header.1.parse().unwrap());
        }
        let (socket, response) = timeout(SOON, connect_async(request)).await.unwrap()?;
        Ok((Self(socket), response.map(|_| ())))
    }

    async fn open(stage: &Stage) -> Self {
        Self::at(stage, &format!("/v1/sessions/{}/ws", stage.session().await)).await
    }

    /// As the tenant `a`.
    pub async fn at(stage: &Stage, path: &str) -> Self {
        Self::connect(stage, path, ("authorization", "Bearer key-a")).await.unwrap().0
    }

    pub async fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn message(&mut self) -> Message {
        timeout(SOON, self.0.next()).await.unwrap().unwrap().unwrap()
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.message().await {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    pub async fn turn(&mut self) -> Vec<Value> {
        let mut events = vec![self.next().await];
        while !matches!(events.last().unwrap()["type"].as_str().unwrap(), "finished" | "failed") {
            events.push(self.next().await);
        }
        events
    }

    async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            match timeout(SOON, self.0.next()).await.unwrap() {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    }
}

fn message(content: &str) -> Value {
    json!({"type": "message", "content": content})
}

#[tokio::test]
async fn turns_run_one_after_another() {
    let stage = Stage::start().await;
    let mut socket = Client::open(&stage).await;
    socket.send(&message("count")).await;
    socket.send(&message("tell")).await;
    let (first, second) = (socket.turn().await, socket.turn().await);
    assert_eq!(first.last().unwrap()["text"], "0 1 2 3 4 5 6 7 8 9 ");
    assert_eq!(second.last().unwrap()["text"], "Hello, 世界 [1]");
    let job = |event: &Value| event["id"].as_str().unwrap().split_once(':').unwrap().0.to_string();
    assert!(first.iter().all(|event| job(event) == job(&first[0])) && job(&first[0]) != job(&second[0]));
    assert_eq!(first[0]["type"], "retrieved");
}

#[tokio::test]
async fn stop_is_heard_in_the_middle_of_a_turn() {
    let mut stage = Stage::start().await;
    let mut socket = Client::open(&stage).await;
    socket.send(&message("hang")).await;
    while socket.next().await["type"] != "token" {}
    socket.send(&json!({"type": "stop"})).await;
    let end = socket.turn().await.pop().unwrap();
    assert_eq!((&end["finish_reason"], &end["text"]), (&json!("cancelled"), &json!("well")));
    stage.cancelled("job_").await;
    socket.send(&message("tell")).await;
    assert_eq!(socket.turn().await.pop().unwrap()["type"], "finished");
}

#[tokio::test]
async fn a_frame_that_cannot_be_used_is_answered_and_the_socket_stays() {
    let stage = Stage::start().await;
    let mut socket = Client::open(&stage).await;
    for (frame, param) in [
        ("not json", None),
        ("{\"type\": \"message\"}", Some("content")),
        ("{\"type\": \"message\", \"content\": \"\"}", Some("content")),
        ("{\"type\": \"message\", \"content\": \"tell\", \"colour\": 1}", Some("colour")),
        ("{\"type\": \"dance\"}", Some("type")),
        ("{\"type\": \"stop\", \"now\": true}", Some("now")),
        (
            "{\"type\": \"message\", \"content\": \"tell\", \"client_message_id\": \"m7\", \"deadline_ms\": 0}",
            Some("deadline_ms"),
        ),
    ] {
        socket.0.send(Message::text(frame)).await.unwrap();
        let failed = socket.next().await;
        assert_eq!((&failed["type"], &failed["code"]), (&json!("failed"), &json!("invalid_request")), "{failed}");
        assert_eq!(failed.get("param").and_then(Value::as_str), param, "{frame}: {failed}");
        assert!(failed.get("id").is_none());
        assert_eq!(failed.get("client_message_id").is_some(), frame.contains("m7"), "{failed}");
    }
    socket.send(&message("tell")).await;
    assert_eq!(socket.turn().await.pop().unwrap()["type"], "finished");
}

#[tokio::test]
async fn frames_have_a_largest_size_and_a_kind() {
    let stage = Stage::with(json!({"max_body_bytes": 4_096}), json!({})).await;
    let mut socket = Client::open(&stage).await;
    socket.0.send(Message::text("x".repeat(5_000))).await.unwrap();
    assert_eq!(socket.closed().await, Some(CloseCode::Size));
    let mut socket = Client::open(&stage).await;
    socket.0.send(Message::binary(vec![0u8; 9])).await.unwrap();
    assert_eq!(socket.closed().await, Some(CloseCode::Unsupported));
}

#[tokio::test]
async fn the_key_comes_by_header_query_or_subprotocol() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/ws", stage.session().await);
    let query = format!("{path}?key=key-a");
    Client::connect(&stage, &query, ("", "")).await.unwrap();
    let offer = ("sec-websocket-protocol", "frontdesk, key.key-a");
    let (mut socket, response) = Client::connect(&stage, &path, offer).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "frontdesk");
    socket.send(&message("tell")).await;
    assert_eq!(socket.turn().await.pop().unwrap()["type"], "finished");

    let other = path.replace("ses_", "ses_0");
    for (path, header, status) in [
        (&path, ("", ""), 401),
        (&path, ("authorization", "Bearer wrong"), 401),
        (&path, ("authorization", "Bearer key-b"), 404),
        (&other, ("authorization", "Bearer key-a"), 404),
    ] {
        match Client::connect(&stage, path, header).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status, "{path} {header:?}"),
            other => panic!("{path} {header:?}: {:?}", other.map(|(_, response)| response)),
        }
    }
    refused(stage.get(&path).send().await.unwrap(), 400, "invalid_request", None).await;
}

#[tokio::test]
async fn a_quota_refuses_a_message_and_not_the_socket() {
    let stage = Stage::with(json!({}), json!({"concurrent_turns": 1})).await;
    let mut socket = Client::open(&stage).await;
    socket.send(&message("hang")).await;
    while socket.next().await["type"] != "token" {}
    socket.send(&message("tell")).await;
    assert_eq!(socket.next().await["code"], "rate_limited");
    socket.send(&json!({"type": "stop"})).await;
    assert_eq!(socket.turn().await.pop().unwrap()["finish_reason"], "cancelled");
}

#[tokio::test]
async fn a_socket_that_is_dropped_frees_the_worker() {
    let mut stage = Stage::start().await;
    let mut socket = Client::open(&stage).await;
    socket.send(&message("hang")).await;
    while socket.next().await["type"] != "token" {}
    drop(socket);
    stage.cancelled("job_").await;
}

#[tokio::test]
async fn an_idle_socket_is_sent_away_when_the_server_stops() {
    let mut stage = Stage::start().await;
    let mut socket = Client::open(&stage).await;
    assert!(matches!(socket.message().await, Message::Ping(_)), "the heartbeat begins at once");
    stage.stop.cancel();
    assert_eq!(socket.closed().await, Some(CloseCode::Away));
    timeout(SOON, stage.server.take().unwrap()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn stop_may_name_a_turn_that_waits() {
    let stage = Stage::start().await;
    let mut socket = Client::open(&stage).await;
    socket.send(&message("hang")).await;
    let mut event = socket.next().await;
    while event["type"] != "token" {
        event = socket.next().await;
    }
    let turn = event["id"].as_str().unwrap().split_once(':').unwrap().0.to_string();
    socket.send(&json!({"type": "stop", "turn": "job_other"})).await;
    socket.send(&json!({"type": "stop", "turn": turn})).await;
    assert_eq!(socket.turn().await.pop().unwrap()["finish_reason"], "cancelled");
}

#[tokio::test]
async fn another_socket_resumes_a_turn_where_the_first_one_broke() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/ws", stage.session().await);
    let connect = || Client::connect(&stage, &path, ("authorization", "Bearer key-a"));
    let mut socket = connect().await.unwrap().0;
    socket.send(&message("count")).await;
    let mut seen = vec![socket.next().await];
    while seen.len() < 4 {
        seen.push(socket.next().await);
    }
    drop(socket);
    let id = seen.last().unwrap()["id"].as_str().unwrap().to_string();
    let (turn, seq) = id.rsplit_once(':').unwrap();
    let mut socket = connect().await.unwrap().0;
    socket.send(&json!({"type": "resume", "turn": turn, "last_seq": seq.parse::<u64>().unwrap()})).await;
    seen.extend(socket.turn().await);
    let ids: Vec<_> = seen.iter().map(|event| event["id"].as_str().unwrap().to_string()).collect();
    let expected: Vec<_> = (0..seen.len()).map(|seq| format!("{turn}:{seq}")).collect();
    assert_eq!(ids, expected, "none twice and none missing");
    let text: String = seen.iter().filter(|e| e["type"] == "token").map(|e| e["text"].as_str().unwrap()).collect();
    assert_eq!(seen.last().unwrap()["text"], text.as_str());

    socket.send(&json!({"type": "resume", "turn": turn})).await;
    assert_eq!(socket.turn().await.pop(), seen.pop(), "from the start, as it is stored");
    socket.send(&json!({"type": "resume", "turn": "job_other"})).await;
    assert_eq!(socket.next().await["code"], "not_found");
}

#[tokio::test]
async fn a_message_may_replace_the_turn_that_runs() {
    let stage = Stage::start().await;
    let mut socket = Client::open(&stage).await;
    socket.send(&message("hang")).await;
    while socket.next().await["type"] != "token" {}
    socket.send(&json!({"type": "message", "content": "tell", "replace": true})).await;
    assert_eq!(socket.turn().await.pop().unwrap()["finish_reason"], "cancelled");
    assert_eq!(socket.turn().await.pop().unwrap()["text"], "Hello, 世界 [1]");
}
