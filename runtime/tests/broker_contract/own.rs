//! A worker's own queue: what it does not take soon, others do, and nothing is lost.

use crate::support::{Backend, SOON, eventually, message, next, nothing, publish_to, take, take_all, text};
use protocol::{
    WorkerId,
    topology::{DELIVERY_LIMIT, INFERENCE, OwnQueue},
};
use runtime::{BrokerError, Consumer, Message};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout};

const TTL: u32 = 400;

/// An own queue with its reader, and a reader of the shared queue.
async fn stage(broker: &Backend, prefetch: u16) -> (String, Consumer, Consumer) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let worker = WorkerId::parse(format!("w{}", COUNT.fetch_add(1, Ordering::Relaxed))).unwrap();
    let queue = OwnQueue::of(&worker, TTL);
    let shared = broker.consume(INFERENCE, 10).await.unwrap();
    (queue.name.clone(), broker.consume_own(queue.clone(), prefetch).await.unwrap(), shared)
}

async fn all_settled(broker: &Backend, own: &str) {
    assert_eq!(broker.depth(own).await.unwrap(), 0);
    assert_eq!(broker.depth(INFERENCE.name).await.unwrap(), 0);
}

pub async fn a_job_reaches_the_worker_whose_queue_it_names(broker: &Backend) {
    let (queue, mut own, mut shared) = stage(broker, 2).await;
    publish_to(broker, &queue, "mine").await;
    assert_eq!(take(&mut own).await, ("mine".into(), 0));
    nothing(&mut shared).await;
    let error = broker.publish("q.inference.nobody", message("x")).await.unwrap_err();
    assert_eq!(error, BrokerError::Unroutable("q.inference.nobody".into()));
    all_settled(broker, &queue).await;
}

pub async fn what_a_busy_worker_does_not_take_in_time_is_anybody_s(broker: &Backend) {
    let (queue, mut own, mut shared) = stage(broker, 1).await;
    publish_to(broker, &queue, "running").await;
    let running = next(&mut own).await;
    let begin = Instant::now();
    publish_to(broker, &queue, "waiting").await;
    assert_eq!(take(&mut shared).await, ("waiting".into(), 0), "to wait is not to be tried");
    assert!(begin.elapsed() >= Duration::from_millis(TTL.into()) - Duration::from_millis(50), "{:?}", begin.elapsed());
    running.ack().await.unwrap();
    publish_to(broker, &queue, "next").await;
    assert_eq!(take(&mut own).await, ("next".into(), 0));
    all_settled(broker, &queue).await;
}

pub async fn a_job_s_own_deadline_holds_in_an_own_queue(broker: &Backend) {
    let (queue, mut own, mut shared) = stage(broker, 1).await;
    publish_to(broker, &queue, "running").await;
    let running = next(&mut own).await;
    let begin = Instant::now();
    let short = Message { body: "short".into(), ttl: Some(Duration::from_millis(50)) };
    broker.publish(&queue, short).await.unwrap();
    assert_eq!(take(&mut shared).await, ("short".into(), 0), "its worker tells its reader that it is late");
    assert!(begin.elapsed() < Duration::from_millis(TTL.into()), "{:?}", begin.elapsed());
    running.ack().await.unwrap();
}

pub async fn a_job_that_is_sent_on_was_not_begun(broker: &Backend) {
    let (queue, mut own, mut shared) = stage(broker, 1).await;
    publish_to(broker, &queue, "no room").await;
    next(&mut own).await.send_on().await.unwrap();
    assert_eq!(take(&mut shared).await, ("no room".into(), 0));
    all_settled(broker, &queue).await;
}

pub async fn a_dead_worker_s_jobs_go_on_elsewhere(broker: &Backend) {
    let (queue, mut own, mut shared) = stage(broker, 1).await;
    for body in ["begun", "waiting"] {
        publish_to(broker, &queue, body).await;
    }
    let begun = next(&mut own).await;
    drop(own);
    publish_to(broker, &queue, "later").await;
    let mut seen = take_all(&mut shared, 3).await;
    seen.sort();
    let expected = [("begun", 1), ("later", 0), ("waiting", 0)].map(|(body, attempt)| (body.to_owned(), attempt));
    assert_eq!(seen, expected);
    begun.ack().await.unwrap();
    all_settled(broker, &queue).await;
}

pub async fn attempts_go_on_in_the_shared_queue(broker: &Backend) {
    let (queue, mut own, mut shared) = stage(broker, 1).await;
    publish_to(broker, &queue, "poison").await;
    next(&mut own).await.requeue().await.unwrap();
    for attempt in 1..=DELIVERY_LIMIT {
        let job = next(&mut shared).await;
        assert_eq!((text(&job.body), job.attempt), ("poison".into(), attempt));
        if attempt < DELIVERY_LIMIT {
            job.requeue().await.unwrap();
        } else {
            job.ack().await.unwrap();
        }
    }
    all_settled(broker, &queue).await;
}

pub async fn a_worker_that_stops_is_not_found_and_finishes_what_it_has(broker: &Backend) {
    let (queue, mut own, mut shared) = stage(broker, 3).await;
    for body in ["running", "untouched"] {
        publish_to(broker, &queue, body).await;
    }
    let running = next(&mut own).await;
    eventually("both are out", async || broker.depth(&queue).await.unwrap() == 0).await;
    let rest = timeout(SOON, own.stop()).await.unwrap();
    let error = broker.publish(&queue, message("x")).await.unwrap_err();
    assert_eq!(error, BrokerError::Unroutable(queue.clone()));
    for job in rest {
        job.send_on().await.unwrap();
    }
    assert_eq!(take(&mut shared).await, ("untouched".into(), 0));
    running.ack().await.unwrap();
    drop(own);
    nothing(&mut shared).await;
    all_settled(broker, &queue).await;
}
