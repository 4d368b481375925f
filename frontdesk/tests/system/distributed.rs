//! Three processes over RabbitMQ and Redis.

use crate::{
    client::Customer,
    harness::{ECHO, Frontdesk, OTHER_KEY, System},
};
use runtime::testing::{RabbitMq, Redis};

/// Private servers, and a system that is configured for them.
pub struct Cluster {
    pub rabbit: RabbitMq,
    _redis: Redis,
    pub system: System,
}

impl Cluster {
    pub fn start(args: &[&str]) -> Self {
        let (rabbit, redis) = (RabbitMq::start(), Redis::start());
        let (broker, store) = (format!("broker.url={}", rabbit.url()), format!("session.store={}", redis.url()));
        let mut all = vec!["--set", broker.as_str(), "--set", store.as_str()];
        all.extend(args);
        let system = System::new(&all);
        Self { rabbit, _redis: redis, system }
    }

    pub async fn role(&self, role: &str, args: &[&str]) -> Frontdesk {
        self.system.start(role, args).ready().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn context_outlives_a_gateway_and_tenants_stay_apart() {
    let cluster = Cluster::start(ECHO);
    let (_gpu, _retrieval) = (cluster.role("worker-gpu", &[]).await, cluster.role("worker-retrieval", &[]).await);
    let mut gateway = cluster.role("gateway", &[]).await;
    let customer = Customer::new(&gateway.url);
    let session = customer.create().await;
    let first = customer.ask(&session, "my order number is 4711").await;
    assert!(first["text"].as_str().unwrap().contains("4711"), "{first}");

    gateway.process.kill();
    let gateway = cluster.system.start_on(gateway.port, "gateway", &[]).ready().await;
    let second = customer.ask(&session, "where is it").await;
    let (before, after) = (&first["usage"]["prompt_tokens"], &second["usage"]["prompt_tokens"]);
    assert!(after.as_u64() > before.as_u64(), "the second prompt holds the first turn: {before} then {after}");
    let history = customer.history(&session).await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 4, "{history}");

    let stranger = Customer::with_key(&gateway.url, OTHER_KEY);
    assert_eq!(stranger.history(&session).await["error"]["code"], "session_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_middle_of_an_answer_costs_only_time() {
    let slow = ["--set", "inference.engine=echo:?delay_ms=50", "--set", "retrieval.embedder=hashing:"];
    let cluster = Cluster::start(&slow);
    let _retrieval = cluster.role("worker-retrieval", &[]).await;
    let (mut first_worker, gateway) = (cluster.role("worker-gpu", &[]).await, cluster.role("gateway", &[]).await);
    let customer = Customer::new(&gateway.url);
    let session = customer.create().await;
    let words: Vec<String> = (0..60).map(|number| format!("word{number}")).collect();
    let mut events = customer.stream(&session, &words.join(" ")).await;
    let mut seen = String::new();
    while !seen.contains("word5") {
        let event = events.next().await.expect("tokens");
        seen.push_str(event.data["text"].as_str().unwrap_or_default());
    }
    first_worker.process.kill();
    let _second_worker = cluster.role("worker-gpu", &[]).await;
    let (seen, last) = events.finish(seen).await;
    assert_eq!(last.name, "finished", "{:?}", last.data);
    assert_eq!(last.data["text"], seen.as_str(), "what was streamed is what is stored");
    for word in &words {
        assert_eq!(seen.split_whitespace().filter(|seen| seen == word).count(), 1, "{word} once in {seen:?}");
    }
}
