//! The broker crashes and comes back; its users go on.

use crate::{
    listening::{heard, reply},
    support::{SOON, eventually, message, next, queue, show_logs, text},
};
use protocol::topology::{CANCEL, WorkQueue};
use runtime::{
    Broker, BrokerError, Consumer,
    broker::{Incoming, connect},
    testing::RabbitMq,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::{JoinHandle, block_in_place},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
const IMPATIENCE: Duration = Duration::from_secs(1);

/// How long the broker stays away; `OUTAGE_SECONDS` makes it longer.
fn outage() -> Duration {
    let seconds = std::env::var("OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// Publishes numbered jobs until it is stopped and returns those that were confirmed.
fn publisher(broker: Arc<dyn Broker>, queue: WorkQueue, stop: CancellationToken) -> JoinHandle<BTreeSet<String>> {
    tokio::spawn(async move {
        let mut confirmed = BTreeSet::new();
        for n in 0.. {
            if stop.is_cancelled() {
                break;
            }
            let begin = Instant::now();
            match broker.publish(queue.name, message(n.to_string())).await {
                Ok(()) => drop(confirmed.insert(n.to_string())),
                Err(BrokerError::Unavailable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
            assert!(begin.elapsed() < PATIENCE + Duration::from_secs(2), "{:?}", begin.elapsed());
            sleep(Duration::from_millis(5)).await;
        }
        confirmed
    })
}

/// Takes jobs until none has come for a while after the stop.
fn taker(mut consumer: Consumer, stop: CancellationToken) -> JoinHandle<BTreeSet<String>> {
    tokio::spawn(async move {
        let mut taken = BTreeSet::new();
        loop {
            match timeout(Duration::from_secs(3), consumer.next()).await {
                Ok(Some(job)) => {
                    taken.insert(text(&job.body));
                    job.ack().await.unwrap();
                }
                Ok(None) => panic!("the consumer ended"),
                Err(_) if stop.is_cancelled() => return taken,
                Err(_) => {}
            }
        }
    })
}

async fn crash_and_come_back(server: &mut RabbitMq, hasty: &Arc<dyn Broker>) {
    block_in_place(|| server.kill());
    let begin = Instant::now();
    let error = hasty.publish("q.ingest", message("x")).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error:?}");
    assert!(begin.elapsed() < IMPATIENCE * 3, "{:?}", begin.elapsed());
    assert!(matches!(hasty.check().await, Err(BrokerError::Unavailable(_))));
    sleep(outage()).await;
    block_in_place(|| server.start_again());
}

pub async fn everything_goes_on_after_a_crash_of_the_broker() {
    show_logs();
    let mut server = RabbitMq::start();
    let broker = connect(&server.url(), PATIENCE).await.unwrap();
    let worker = connect(&server.url(), PATIENCE).await.unwrap();
    let hasty = connect(&server.url(), IMPATIENCE).await.unwrap();
    let (jobs, held) = (queue(10_000), queue(10));
    let stop = CancellationToken::new();
    let taken = taker(worker.consume(jobs, 10).await.unwrap(), stop.clone());
    let confirmed = publisher(broker.clone(), jobs, stop.clone());
    let mut replies = broker.replies("replies.gateway").await.unwrap();
    let mut cancels = worker.subscribe(CANCEL).await.unwrap();
    let mut holder = worker.consume(held, 1).await.unwrap();
    broker.publish(held.name, message("held")).await.unwrap();
    let old = next(&mut holder).await;
    // RabbitMQ 3.10 forgets a queue, with what was confirmed, when it crashes in the first half second of that queue.
    sleep(Duration::from_secs(2)).await;

    crash_and_come_back(&mut server, &hasty).await;

    // Sent at once: the gateway's reply queue may not exist again yet.
    worker.publish("replies.gateway", message("reply")).await.unwrap();
    assert_eq!((heard(&mut replies).await, heard(&mut replies).await), (Incoming::Renewed, reply("reply")));
    let again = next(&mut holder).await;
    assert_eq!((text(&again.body), again.attempt), ("held".into(), 1));
    old.ack().await.unwrap();
    again.ack().await.unwrap();
    eventually("broadcasts arrive", async || {
        broker.broadcast(CANCEL, "cancel".into()).await.unwrap();
        timeout(Duration::from_millis(100), cancels.recv()).await.is_ok_and(|body| body.is_some())
    })
    .await;
    eventually("the broker answers", async || hasty.check().await.is_ok()).await;

    sleep(Duration::from_millis(500)).await;
    stop.cancel();
    let (confirmed, taken) =
        (timeout(SOON, confirmed).await.unwrap().unwrap(), timeout(SOON, taken).await.unwrap().unwrap());
    let lost: Vec<_> = confirmed.difference(&taken).collect();
    eprintln!("  {} jobs confirmed, {} taken across the crash", confirmed.len(), taken.len());
    assert!(confirmed.len() > 100 && lost.is_empty(), "{} confirmed, lost {lost:?}", confirmed.len());
}
