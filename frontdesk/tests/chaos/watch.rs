//! Reads conversations again and again, in Redis and from the gateways.

use crate::{
    customers::Shop,
    record::{Exchange, Read, Source},
};
use actors::SessionView;
use fastrand::Rng;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(40);

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

    /// Waits until all that was accepted is kept, for at most `limit`, and then reads everything a last time.
    pub async fn settle(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let count = self.shop.book.lock().unwrap().len();
        for place in 0..count {
            self.read(place).await;
            while !self.is_settled(place) && Instant::now() < deadline {
                sleep(PAUSE * 5).await;
                self.read(place).await;
            }
        }
    }

    fn is_settled(&self, place: usize) -> bool {
        let book = self.shop.book.lock().unwrap();
        let conversation = &book[place];
        let accepted = conversation.messages.iter().filter(|message| message.accepted.is_some());
        let [store, gateway] = [Source::Store, Source::Gateway].map(|source| conversation.last(source));
        let keeps = |read: &Read, id: &str| read.exchanges.iter().any(|exchange| exchange.id == id);
        store.zip(gateway).is_some_and(|(store, gateway)| {
            accepted.map(|message| &message.id).all(|id| keeps(store, id) && keeps(gateway, id))
        })
    }

    /// Reads one conversation in both ways; what does not answer is left out.
    async fn read(&mut self, place: usize) {
        let (tenant, session) = {
            let book = self.shop.book.lock().unwrap();
            (book[place].tenant.clone(), book[place].session.clone())
        };
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
