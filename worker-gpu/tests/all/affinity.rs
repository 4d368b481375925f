//! Jobs for one worker, and what becomes of them when it has no time.

use crate::desk::{Answer, Desk, Worker, echo};
use protocol::{Event, topology};
use runtime::{BrokerError, Message};
use std::time::{Duration, Instant};
use worker_gpu::Config;

const TTL_MS: u32 = 300;

/// One slot, a word every 10 ms.
fn config() -> Config {
    Config { max_sequences: 1, batch_tokens: 8, affinity_ttl_ms: TTL_MS, ..echo(10) }
}

/// Keeps the worker busy for long, with a job of its own queue or of the shared one.
async fn occupy(desk: &mut Desk, worker: Option<&Worker>) {
    let text = "word ".repeat(3_000);
    match worker {
        Some(worker) => desk.submit_to(worker, "job_long", &text).await,
        None => desk.submit("job_long", &text).await,
    }
    assert!(matches!(desk.reply().await.events[0], Event::Started { .. }));
}

/// The whole answer to `job`; other jobs' frames are passed over.
async fn answer_to(desk: &mut Desk, job: &str) -> Answer {
    let mut batches = Vec::new();
    loop {
        let reply = desk.reply().await;
        if reply.job.as_str() != job {
            continue;
        }
        let is_last = matches!(reply.events.last(), Some(Event::Finished { .. } | Event::Failed(_)));
        batches.push(reply);
        if is_last {
            return Answer(batches);
        }
    }
}

#[tokio::test]
async fn a_job_for_a_worker_is_answered_by_it() {
    let mut desk = Desk::new().await;
    let workers = [desk.work(config()), desk.work(config())];
    for (n, worker) in [0, 1, 1, 0].map(|n| (n, &workers[n])) {
        desk.submit_to(worker, "job_1", "hello").await;
        let answer = desk.answer().await;
        assert_eq!((answer.worker(), answer.0[0].attempt), (&worker.id, 0), "{n}");
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 0));
}

#[tokio::test]
async fn what_a_busy_worker_does_not_start_in_time_another_one_does() {
    let mut desk = Desk::new().await;
    let busy = desk.work(config());
    occupy(&mut desk, Some(&busy)).await;
    let idle = desk.work(config());
    let begin = Instant::now();
    for job in ["job_1", "job_2", "job_3"] {
        desk.submit_to(&busy, job, "hello").await;
    }
    for _ in 0..3 {
        // From the shared queue it may come to the busy worker once more, which passes it on again.
        let mut replies = desk.reply().await;
        while !replies.events.iter().any(|event| matches!(event, Event::Started { worker, .. } if *worker == idle.id)) {
            replies = desk.reply().await;
        }
    }
    assert!(begin.elapsed() < Duration::from_millis(u64::from(TTL_MS) * 4), "{:?}", begin.elapsed());
    desk.cancel("job_long").await;
    for worker in [busy, idle] {
        worker.stop().await.unwrap();
    }
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 0));
}

#[tokio::test]
async fn a_worker_that_stops_sends_on_what_waits_and_is_not_found() {
    let mut desk = Desk::new().await;
    let config = Config { affinity_ttl_ms: 60_000, ..config() };
    let stopping = desk.work(Config { drain_ms: 10_000, ..config.clone() });
    occupy(&mut desk, None).await;
    desk.submit_to(&stopping, "job_1", "hello").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    stopping.stop.cancel();
    let next = desk.work(config);
    let answer = answer_to(&mut desk, "job_1").await;
    assert_eq!((answer.worker(), answer.0[0].attempt, answer.text().as_str()), (&next.id, 0, "echo: hello"));
    let queue = topology::own(&stopping.id);
    let error = desk.broker().publish(&queue, Message { body: "".into(), ttl: None }).await.unwrap_err();
    assert_eq!(error, BrokerError::Unroutable(queue));
    desk.cancel("job_long").await;
    for worker in [stopping, next] {
        worker.stop().await.unwrap();
    }
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 0));
}
