//! Reads event streams.

use crate::stage::SOON;
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

/// One block of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
    pub comment: String,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

pub struct Reader {
    response: Response,
    rest: String,
}

impl Reader {
    pub fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, rest: String::new() }
    }

    /// The next block, comments included; `None` at the stream's end.
    pub async fn block(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (parse(block), rest.to_string());
                self.rest = rest;
                return Some(block);
            }
            let piece = timeout(SOON, self.response.chunk()).await.unwrap().unwrap();
            self.rest.push_str(std::str::from_utf8(&piece?).unwrap());
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if block.comment.is_empty() {
                return Some(block);
            }
        }
    }

    /// All events to the end.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.trim_start().to_string();
        match name {
            "event" => event.name = value,
            "id" => event.id = value,
            "data" => event.data = value,
            "" => event.comment = value,
            other => panic!("{other}"),
        }
    }
    event
}
