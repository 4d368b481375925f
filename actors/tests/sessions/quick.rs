//! How long the way of an answer without the model is, on a real broker and a real store.

use crate::support::{FakeWorker, collect, memory_store, message, node, tenant};
use actors::Config;
use protocol::{Origin, TurnEvent};
use runtime::{
    broker,
    testing::{RabbitMq, Redis},
};
use std::time::{Duration, Instant};

const TURNS: usize = 300;

/// `cargo test -p actors --test sessions a_curated_answer_takes -- --ignored --nocapture`, on an idle machine.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_curated_answer_takes_less_than_20_ms() {
    let (rabbit, redis) = (RabbitMq::start(), Redis::start());
    let broker = broker::connect(rabbit.url().as_ref(), Duration::from_secs(10)).await.unwrap();
    let config = Config { store: redis.url(), ..Config::default() };
    let _worker = FakeWorker::start(broker.clone(), Box::new(|_, _| Vec::new())).await;
    let store = memory_store(&config).await;
    let registry = node("quick", &broker, &store, &config).await;
    let mut times = Vec::new();
    for number in 0..TURNS {
        let session = registry.create(&tenant()).await.unwrap().id;
        let begin = Instant::now();
        let asked = message(&format!("I forgot password {number}"), None);
        let events = collect(registry.submit(&tenant(), &session, asked).await.unwrap()).await;
        times.push(begin.elapsed());
        let is_curated = matches!(events.last(), Some((2, TurnEvent::Finished { origin: Origin::Faq, .. })));
        assert!(is_curated, "{events:?}");
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    eprintln!("from message to answer: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
    assert!(at(0.99) < Duration::from_millis(20), "{:?}", at(0.99));
}
