//! A job that ends among the dead letters leaves nobody waiting.

use crate::support::{collect, failed, memory_store, message, node, tenant};
use actors::{Completion, Config};
use protocol::{
    ChatMessage, ErrorCode, Role, TurnEvent,
    topology::{DEAD_LETTERS, DELIVERY_LIMIT, INFERENCE, RETRIEVAL, WorkQueue},
};
use runtime::{
    Broker,
    broker::{Reason, connect},
};
use std::{sync::Arc, time::Duration};

/// A worker that every job of `queue` takes along.
async fn crashing(broker: &Arc<dyn Broker>, queue: WorkQueue) {
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    tokio::spawn(async move {
        while let Some(job) = consumer.next().await {
            drop(job)
        }
    });
}

/// The one job that died of its deliveries in `queue`.
async fn died(broker: &Arc<dyn Broker>, queue: WorkQueue) {
    assert_eq!(broker.depth(DEAD_LETTERS).await.unwrap(), 1, "after {DELIVERY_LIMIT} repeats");
    let mut letters = broker.dead_letters().await.unwrap();
    let letter = letters.next().await.unwrap().unwrap();
    assert_eq!((letter.reason, letter.queue.as_str()), (Reason::DeliveryLimit, queue.name));
    assert_eq!(letter.envelope().unwrap().tenant, tenant());
}

#[tokio::test]
async fn a_search_that_takes_its_workers_along_costs_a_turn_its_deadline_at_most() {
    let broker = connect("memory:", Duration::ZERO).await.unwrap();
    crashing(&broker, RETRIEVAL).await;
    let config = Config { retrieval_deadline_ms: 200, ..Config::default() };
    let registry = node("node-1", &broker, &memory_store(&config).await, &config).await;
    let session = registry.create(&tenant()).await.unwrap().id;
    let events = collect(registry.submit(&tenant(), &session, message("How?", None)).await.unwrap()).await;
    assert!(matches!(events.last(), Some((_, TurnEvent::Finished { degraded: true, .. }))), "{events:?}");
    died(&broker, RETRIEVAL).await;
}

#[tokio::test]
async fn a_prompt_that_takes_its_workers_along_costs_a_turn_its_deadline_at_most() {
    let broker = connect("memory:", Duration::ZERO).await.unwrap();
    crashing(&broker, INFERENCE).await;
    let config = Config { turn_deadline_ms: 300, ..Config::default() };
    let registry = node("node-1", &broker, &memory_store(&config).await, &config).await;
    let asked = Completion { messages: vec![ChatMessage::new(Role::User, "poison")], ..Completion::default() };
    let events = collect(registry.complete(&tenant(), asked).await.unwrap()).await;
    assert_eq!(failed(&events), ErrorCode::DeadlineExceeded);
    died(&broker, INFERENCE).await;
}
