//! Several gateways over one RabbitMQ and one Redis: a session is wherever its customer comes.

use crate::{
    client::{Customer, Events, SseEvent},
    distributed::Cluster,
    harness::Frontdesk,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A word takes 50 ms, a dead gateway is noticed after one second.
const SLOW: &[&str] = &[
    "--set",
    "inference.engine=echo:?delay_ms=50",
    "--set",
    "retrieval.embedder=hashing:",
    "--set",
    "session.lease_ms=1000",
    "--set",
    "session.first_token_deadline_ms=0",
    "--set",
    "session.breaker_open_ms=0",
];

struct Nodes {
    cluster: Cluster,
    _workers: [Frontdesk; 2],
    gateways: [Frontdesk; 2],
}

impl Nodes {
    async fn start() -> Self {
        let cluster = Cluster::start(SLOW);
        let _workers = [cluster.role("worker-gpu", &[]).await, cluster.role("worker-retrieval", &[]).await];
        let gateways = [cluster.role("gateway", &[]).await, cluster.role("gateway", &[]).await];
        Self { cluster, _workers, gateways }
    }

    fn customer(&self, gateway: usize) -> Customer {
        Customer::new(&self.gateways[gateway].url)
    }
}

fn message(words: usize) -> (Vec<String>, Value) {
    let words: Vec<String> = (0..words).map(|number| format!("word{number}")).collect();
    let body = json!({"content": words.join(" "), "client_message_id": "m-1"});
    (words, body)
}

/// What a customer saw of one answer, over all its connections.
#[derive(Default)]
struct Seen {
    text: String,
    last_id: Option<String>,
}

impl Seen {
    fn take(&mut self, event: &SseEvent) {
        let (job, seq) = event.id.rsplit_once(':').unwrap();
        let seq: u64 = seq.parse().unwrap();
        if let Some((of, last)) = self.last_id.as_deref().and_then(|id| id.rsplit_once(':')) {
            assert_eq!(job, of, "one turn");
            assert_eq!(seq, last.parse::<u64>().unwrap() + 1, "no event twice and none missing");
        }
        self.last_id = Some(event.id.clone());
        self.text.push_str(event.data["text"].as_str().filter(|_| event.name == "token").unwrap_or_default());
    }

    async fn read_until(&mut self, events: &mut Events, word: &str) {
        while !self.text.contains(word) {
            self.take(&events.next().await.unwrap());
        }
    }

    async fn read_to_the_end(&mut self, mut events: Events) -> SseEvent {
        while let Some(event) = events.next().await {
            self.take(&event);
            if matches!(event.name.as_str(), "finished" | "failed") {
                return event;
            }
        }
        panic!("no end after {:?}", self.text);
    }
}

/// Comes back to `customer`'s gateway for as long as that takes, and reads the rest.
async fn come_back(customer: &Customer, session: &str, body: &Value, seen: &mut Seen) -> SseEvent {
    for _ in 0..50 {
        let answer = customer.resume(session, body.clone(), seen.last_id.as_deref()).await;
        if answer.status() == 200 {
            return seen.read_to_the_end(Events::of(answer)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("refused for 10 s");
}

fn assert_whole(words: &[String], seen: &Seen, last: &SseEvent, history: &Value) {
    assert_eq!(last.name, "finished", "{:?}", last.data);
    assert_eq!(last.data["text"], seen.text.as_str(), "what was streamed is the answer");
    for word in words {
        assert_eq!(
            seen.text.split_whitespace().filter(|seen| seen == word).count(),
            1,
            "{word} once in {:?}",
            seen.text
        );
    }
    let messages = history["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[1]["content"]), (2, &last.data["text"]), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_served_at_either_gateway() {
    let nodes = Nodes::start().await;
    let [here, there] = [nodes.customer(0), nodes.customer(1)];
    let session = here.create().await;
    here.ask(&session, "one").await;
    let second = there.ask(&session, "two").await;
    assert!(second["text"].as_str().unwrap().contains("two"), "{second}");
    assert_eq!(there.history(&session).await["messages"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_on_at_another_gateway_when_its_own_is_killed() {
    let mut nodes = Nodes::start().await;
    let [here, there] = [nodes.customer(0), nodes.customer(1)];
    let (session, (words, body)) = (here.create().await, message(60));
    let mut seen = Seen::default();
    let mut events = Events::of(here.resume(&session, body.clone(), None).await);
    seen.read_until(&mut events, "word5").await;
    nodes.gateways[0].process.kill();
    let last = come_back(&there, &session, &body, &mut seen).await;
    assert_whole(&words, &seen, &last, &there.history(&session).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_message_is_answered_though_its_gateway_died_and_nobody_came_back() {
    let mut nodes = Nodes::start().await;
    let [here, there] = [nodes.customer(0), nodes.customer(1)];
    let (session, (words, body)) = (here.create().await, message(20));
    let mut events = Events::of(here.resume(&session, body, None).await);
    let mut seen = Seen::default();
    seen.read_until(&mut events, "word1").await;
    nodes.gateways[0].process.kill();
    for _ in 0..100 {
        let history = there.history(&session).await;
        if let Some(answer) = history["messages"][1]["content"].as_str() {
            assert!(words.iter().all(|word| answer.contains(word)) && answer.starts_with(&seen.text), "{answer}");
            return;
        }
        assert_eq!(history["unanswered"].as_array().map(Vec::len), Some(1), "{history}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not answered within 20 s:\n{}", nodes.gateways[1].process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_slept_past_its_lease_shows_and_stores_nothing_more() {
    let nodes = Nodes::start().await;
    let [here, there] = [nodes.customer(0), nodes.customer(1)];
    let (session, (words, body)) = (here.create().await, message(60));
    let mut seen = Seen::default();
    let mut events = Events::of(here.resume(&session, body.clone(), None).await);
    seen.read_until(&mut events, "word5").await;
    nodes.gateways[0].process.pause();
    let last = come_back(&there, &session, &body, &mut seen).await;
    nodes.gateways[0].process.resume();
    let (mut late, mut sleeper) = (String::new(), events);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(3), sleeper.next()).await {
        late.push_str(event.data["text"].as_str().filter(|_| event.name == "token").unwrap_or_default());
    }
    assert!(seen.text.contains(&late), "what it shows late is of the same answer: {late:?}");
    let next = here.ask(&session, "still there?").await;
    assert!(next["text"].as_str().unwrap().contains("still there?"), "{next}");
    let mut history = there.history(&session).await;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(4));
    history["messages"].as_array_mut().unwrap().truncate(2);
    assert_whole(&words, &seen, &last, &history);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_hands_its_turns_over() {
    let mut nodes = Nodes::start().await;
    nodes.gateways[0] = nodes.cluster.role("gateway", &["--set", "gateway.drain_ms=300"]).await;
    let [here, there] = [nodes.customer(0), nodes.customer(1)];
    let (session, (words, body)) = (here.create().await, message(60));
    let mut seen = Seen::default();
    let mut events = Events::of(here.resume(&session, body.clone(), None).await);
    seen.read_until(&mut events, "word5").await;
    nodes.gateways[0].process.stop(Duration::from_secs(20));
    while let Some(event) = events.next().await {
        seen.take(&event);
    }
    let last = come_back(&there, &session, &body, &mut seen).await;
    assert_whole(&words, &seen, &last, &there.history(&session).await);
}
