//! Reads conversations again and again, in Redis and from the gateways.

use crate::{
    customers::Shop,
    record::{Exchange, Message, Read, Source},
};
use actors::SessionView;
use fastrand::Rng;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(40);
/// For an answer to one who came back.
const BACK: Duration = Duration::from_secs(20);

/// Reads the conversations of a shop.
pub struct Watch<'a> {
    pub shop: &'a Shop,
    /// Of Redis.
    pub store: redis::Client,
    /// The key of a tenant.
    pub key: fn(&str) -> &'static str,
    pub rng: Rng,
}

impl Watch<'_> {
    /// Reads one conversation after the other, until `over`.
    pub async fn run(&mut self, over: impl Fn() -> bool) {
        let mut place = 0;
        while !over() {
            let count = self.shop.book.lock().unwrap().len();
            if count > 0 {
                // The latest ones most of the time.
                place =
                    if self.rng.bool() { count - 1 - self.rng.usize(0..count.min(24)) } else { (place + 1) % count };
                self.read(place).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until all that was accepted is kept, for at most `limit`, and then reads everything a last time. What a turn left
    /// open when it failed unseen waits for its customer: after half of the time those who left come back. Returns how many
    /// messages they had to send again.
    pub async fn settle(&mut self, limit: Duration) -> u64 {
        let (half, deadline) = (Instant::now() + limit / 2, Instant::now() + limit);
        let mut repeats = 0;
        let count = self.shop.book.lock().unwrap().len();
        for place in 0..count {
            self.read(place).await;
            let mut has_come_back = false;
            while !self.unsettled(place).is_empty() && Instant::now() < deadline {
                if Instant::now() > half && !std::mem::replace(&mut has_come_back, true) {
                    repeats += self.come_back(place).await;
                }
                sleep(PAUSE * 5).await;
                self.read(place).await;
            }
        }
        repeats
    }

    /// The accepted messages that are not kept in both sources.
    fn unsettled(&self, place: usize) -> Vec<Message> {
        let book = self.shop.book.lock().unwrap();
        let conversation = &book[place];
        let keeps = |source, id: &str| {
            conversation.last(source).is_some_and(|read| read.exchanges.iter().any(|exchange| exchange.id == id))
        };
        let is_kept = |id: &str| keeps(Source::Store, id) && keeps(Source::Gateway, id);
        let accepted = conversation.messages.iter().filter(|message| message.accepted.is_some());
        accepted.filter(|message| !is_kept(&message.id)).cloned().collect()
    }

    /// Customers who left send what was not answered again.
    async fn come_back(&mut self, place: usize) -> u64 {
        let (tenant, session) = self.place(place);
        let left: Vec<_> = self.unsettled(place).into_iter().filter(|message| message.left).collect();
        for message in &left {
            let url = format!("{}/v1/sessions/{session}/messages", self.shop.url(&mut self.rng));
            let body = json!({"content": message.text, "client_message_id": message.id});
            let sent = self.shop.http.post(url).bearer_auth((self.key)(&tenant)).json(&body).timeout(BACK);
            // Whether it is answered, the next read tells.
            drop(sent.send().await);
        }
        left.len() as u64
    }

    fn place(&self, place: usize) -> (String, String) {
        let book = self.shop.book.lock().unwrap();
        (book[place].tenant.clone(), book[place].session.clone())
    }

    /// Reads one conversation in both ways; what does not answer is left out.
    async fn read(&mut self, place: usize) {
        let (tenant, session) = self.place(place);
        if let Ok(Some(read)) = timeout(PATIENCE, self.stored(&tenant, &session)).await {
            self.note(place, read);
        }
        let url = format!("{}/v1/sessions/{session}", self.shop.url(&mut self.rng));
        let asked = self.shop.http.get(url).bearer_auth((self.key)(&tenant)).timeout(PATIENCE).send().await;
        if let Ok(answer) = asked
            && answer.status().is_success()
            && let Ok(view) = answer.json::<SessionView>().await
        {
            self.note(place, Read { source: Source::Gateway, version: (0, 0), exchanges: exchanges(&view) });
        }
    }

    async fn stored(&self, tenant: &str, session: &str) -> Option<Read> {
        let mut connection = self.store.get_multiplexed_async_connection().await.ok()?;
        stored(&mut connection, tenant, session).await
    }

    fn note(&self, place: usize, read: Read) {
        let mut book = self.shop.book.lock().unwrap();
        let conversation = &mut book[place];
        let last = conversation.last(read.source);
        if last.is_none_or(|last| (last.version, &last.exchanges) != (read.version, &read.exchanges)) {
            conversation.reads.push(read);
        }
    }
}

/// The session as it lies in Redis.
pub async fn stored(connection: &mut MultiplexedConnection, tenant: &str, session: &str) -> Option<Read> {
    let fields: (Option<u64>, Option<u64>, Option<Vec<u8>>) =
        redis::cmd("HMGET").arg(key(tenant, session)).arg(&["e", "w", "s"]).query_async(connection).await.ok()?;
    let (Some(epoch), Some(write), Some(state)) = fields else { return None };
    let state: Value = serde_json::from_slice(&state).unwrap();
    let view: SessionView = serde_json::from_value(state["session"].clone()).unwrap();
    Some(Read { source: Source::Store, version: (epoch, write), exchanges: exchanges(&view) })
}

/// Where a session lies in Redis.
pub fn key(tenant: &str, session: &str) -> String {
    format!("fd:{{{tenant}/{session}}}")
}

fn exchanges(view: &SessionView) -> Vec<Exchange> {
    let pairs = view.messages.chunks_exact(2);
    let exchange = |pair: &[actors::StoredMessage]| Exchange {
        id: pair[0].client_message_id.as_ref().map(|id| id.to_string()).unwrap_or_default(),
        question: pair[0].content.clone(),
        answer: pair[1].content.clone(),
        job: pair[1].turn.as_ref().map(|turn| turn.job.to_string()).unwrap_or_default(),
    };
    pairs.map(exchange).collect()
}
