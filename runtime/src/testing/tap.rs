//! A tap on a broker's messages: it takes none away, but may publish copies, late and out of order.

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, task::AbortHandle, time::sleep};

/// RabbitMQ's exchange with a copy of every message, of a node that is traced.
const TRACE: &str = "amq.rabbitmq.trace";
/// What the tap itself publishes, so that it does not answer to itself.
const MARK: &str = "tap";
/// What waits to be published at most; beyond, the tap lets messages pass.
const WAITING: usize = 512;
/// Before a connection that broke is renewed.
const PAUSE: Duration = Duration::from_millis(300);

/// A message that somebody published.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Empty: the default exchange, which routes by the queue's name.
    pub exchange: String,
    /// The routing key.
    pub key: String,
    /// The message.
    pub body: Bytes,
}

/// What the tap publishes in answer to a message, to where that was published.
#[derive(Debug, Clone)]
pub struct Extra {
    /// How much later.
    pub after: Duration,
    /// The same body or another one.
    pub body: Bytes,
}

/// Sees every message published on a node that was started with
/// [`RabbitMq::start_traced`](super::RabbitMq::start_traced), across its restarts, until it is dropped.
pub struct Tap {
    task: AbortHandle,
    published: Arc<AtomicU64>,
}

impl Tap {
    /// Asks `answer` about every message that is published on the broker at `url`.
    pub fn start(url: String, mut answer: impl FnMut(Seen) -> Vec<Extra> + Send + 'static) -> Self {
        let published = Arc::<AtomicU64>::default();
        let count = published.clone();
        let task = tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(WAITING));
            loop {
                // A broker that is down is a fault of the test's own making.
                let _ = listen(&url, &mut answer, &room, &count).await;
                sleep(PAUSE).await;
            }
        });
        Self { task: task.abort_handle(), published }
    }

    /// How many messages it has added.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until the connection breaks.
async fn listen(
    url: &str,
    answer: &mut (impl FnMut(Seen) -> Vec<Extra> + Send),
    room: &Arc<Semaphore>,
    count: &Arc<AtomicU64>,
) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let private = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), private, FieldTable::default()).await?;
    let (bind, empty) = (QueueBindOptions::default(), FieldTable::default);
    channel.queue_bind(queue.name().clone(), TRACE.into(), "publish.#".into(), bind, empty()).await?;
    let consume = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let mut deliveries = channel.basic_consume(queue.name().clone(), "".into(), consume, empty()).await?;
    while let Some(delivery) = deliveries.next().await {
        let Some((seen, expiration)) = seen(delivery?) else { continue };
        let (exchange, key) = (seen.exchange.clone(), seen.key.clone());
        for extra in answer(seen) {
            let Ok(permit) = room.clone().try_acquire_owned() else { break };
            let (exchange, key, expiration) = (exchange.clone(), key.clone(), expiration.clone());
            let (channel, count) = (channel.clone(), count.clone());
            tokio::spawn(async move {
                let _permit = permit;
                sleep(extra.after).await;
                if publish(&channel, (exchange, key), expiration, &extra.body).await.is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
    Ok(())
}

async fn publish(
    channel: &Channel,
    (exchange, key): (String, String),
    expiration: Option<String>,
    body: &[u8],
) -> lapin::Result<()> {
    let mut properties = BasicProperties::default().with_app_id(MARK.into()).with_delivery_mode(2);
    if let Some(expiration) = expiration {
        properties = properties.with_expiration(expiration.into());
    }
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.map(|_| ())
}

/// The message that a trace tells of, and how long it may wait, unless the tap published it.
fn seen(trace: Delivery) -> Option<(Seen, Option<String>)> {
    let headers = trace.properties.headers().clone()?;
    let AMQPValue::FieldTable(properties) = headers.inner().get("properties")? else { return None };
    let property = |name: &str| properties.inner().get(name).and_then(text);
    if property("app_id").as_deref() == Some(MARK) {
        return None;
    }
    let AMQPValue::FieldArray(keys) = headers.inner().get("routing_keys")? else { return None };
    let key = text(keys.as_slice().first()?)?;
    let exchange = text(headers.inner().get("exchange_name")?)?;
    Some((Seen { exchange, key, body: trace.data.into() }, property("expiration")))
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
