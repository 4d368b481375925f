//! What the cases share.

use bytes::Bytes;
use lapin::{Channel, Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};
use protocol::topology::{DEAD_LETTERS, DEAD_LETTERS_MAX, WorkQueue};
use runtime::{Broker, BrokerError, Consumer, Delivery, Message};
use std::{
    future::Future,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// A broker under test.
pub struct Backend {
    broker: Arc<dyn Broker>,
    /// RabbitMQ's own view of a queue; none in memory, where everything happens at once.
    probe: Option<Channel>,
}

impl Deref for Backend {
    type Target = dyn Broker;

    fn deref(&self) -> &Self::Target {
        &*self.broker
    }
}

impl Backend {
    pub fn memory(broker: Arc<dyn Broker>) -> Self {
        Self { broker, probe: None }
    }

    pub async fn amqp(broker: Arc<dyn Broker>, url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        Self { broker, probe: Some(connection.create_channel().await.unwrap()) }
    }

    async fn consumers(&self, queue: WorkQueue) -> u32 {
        let Some(probe) = &self.probe else { return 0 };
        let passive = QueueDeclareOptions::default().passive();
        probe.queue_declare(queue.name.into(), passive, FieldTable::default()).await.unwrap().consumer_count()
    }
}

/// Shows logs when `RUST_LOG` asks for them.
pub fn show_logs() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    // Another test may have installed it.
    let _ = subscriber.with_writer(std::io::stderr).try_init();
}

/// Longer than anything that is to happen takes.
pub const SOON: Duration = Duration::from_secs(20);
/// How long to watch that something does not happen.
pub const WHILE: Duration = Duration::from_millis(300);

/// A work queue of the case's own.
pub fn queue(max_length: u32) -> WorkQueue {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("q.test.{}", COUNT.fetch_add(1, Ordering::Relaxed));
    WorkQueue { name: name.leak(), max_length }
}

/// Declares a queue by consuming from it for a moment.
pub async fn declared(broker: &Backend, max_length: u32) -> WorkQueue {
    let queue = queue(max_length);
    drop(broker.consume(queue, 1).await.unwrap());
    nobody_consumes(broker, queue).await;
    queue
}

/// Waits until the broker knows that dropped consumers are gone.
pub async fn nobody_consumes(broker: &Backend, queue: WorkQueue) {
    eventually("consumers leave", async || broker.consumers(queue).await == 0).await;
}

pub fn message(body: impl Into<Bytes>) -> Message {
    Message { body: body.into(), ttl: None }
}

pub async fn publish(broker: &Backend, queue: WorkQueue, body: &str) {
    publish_to(broker, queue.name, body).await;
}

pub async fn publish_to(broker: &Backend, queue: &str, body: &str) {
    broker.publish(queue, message(body.to_owned())).await.unwrap();
}

pub async fn publish_all(broker: &Backend, queue: WorkQueue, bodies: &[&str]) {
    for body in bodies {
        publish(broker, queue, body).await;
    }
}

/// The next job, which must come.
pub async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(SOON, consumer.next()).await.expect("a job should have come").expect("the consumer ended")
}

/// The next job's body and attempt; the job is done.
pub async fn take(consumer: &mut Consumer) -> (String, u32) {
    let job = next(consumer).await;
    let seen = (text(&job.body), job.attempt);
    job.ack().await.unwrap();
    seen
}

pub async fn take_all(consumer: &mut Consumer, count: usize) -> Vec<(String, u32)> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(take(consumer).await);
    }
    seen
}

/// Checks that no job comes for a while.
pub async fn nothing(consumer: &mut Consumer) {
    if let Ok(Some(job)) = timeout(WHILE, consumer.next()).await {
        panic!("unexpected job {:?}, attempt {}", text(&job.body), job.attempt);
    }
}

pub fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// Everything that becomes a dead letter during `case`, which must be `count` jobs.
pub async fn dead_letters(broker: &Backend, count: usize, case: impl Future<Output = ()>) -> Vec<String> {
    let queue = WorkQueue { name: DEAD_LETTERS, max_length: DEAD_LETTERS_MAX };
    assert_eq!(broker.depth(DEAD_LETTERS).await.unwrap(), 0, "an earlier case left a dead letter");
    case.await;
    eventually("the dead letters arrive", async || broker.depth(DEAD_LETTERS).await.unwrap() as usize == count).await;
    let mut consumer = broker.consume(queue, 10).await.unwrap();
    take_all(&mut consumer, count).await.into_iter().map(|(body, _)| body).collect()
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}: not within {SOON:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes to `queue` until it is refused with an error.
pub async fn refused(broker: &Backend, queue: &str) -> BrokerError {
    let deadline = Instant::now() + SOON;
    loop {
        match broker.publish(queue, message("x")).await {
            Err(error) => return error,
            Ok(()) => assert!(Instant::now() < deadline, "{queue} takes messages without end"),
        }
    }
}
