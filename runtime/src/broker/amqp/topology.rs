//! The topology as RabbitMQ declares it.

use super::error::{broken, name, of_queue};
use crate::{BrokerError, broker::broadcasts::LAG};
use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use protocol::topology::{
    AFFINITY, CANCEL, DEAD_LETTERS, DEAD_LETTERS_MAX, DELIVERY_LIMIT, INFERENCE, KNOWLEDGE, OWN_EXPIRES_MS, OWN_MAX,
    OwnQueue, REPLIES_MAX, WORK_QUEUES, WorkQueue,
};

fn arguments<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: u32) -> AMQPValue {
    AMQPValue::LongLongInt(value.into())
}

/// Who looks through the dead letters consumes from this queue, exclusively.
pub(super) const DEAD_LETTERS_LOCK: &str = "q.dead.reader";
/// RabbitMQ 4 drops a message that was looked at more often; its own limit is 20, and no limit cannot be told to RabbitMQ 3.
const LOOKS: u32 = 1_000_000_000;

/// Declares every queue and exchange that all parts share.
pub(super) async fn declare_all(connection: &Connection) -> Result<(), BrokerError> {
    let channel = connection.create_channel().await.map_err(broken)?;
    for queue in WORK_QUEUES {
        declare(&channel, *queue).await?;
    }
    declare_dead_letters(&channel).await?;
    declare_fanout(&channel, CANCEL).await?;
    declare_fanout(&channel, KNOWLEDGE).await?;
    declare_exchange(&channel, AFFINITY, ExchangeKind::Direct).await?;
    channel.close(200, "declared".into()).await.map_err(broken)
}

/// Declares a work queue, or [`DEAD_LETTERS`]. Its dead letters leave it at most once: with the strategy at-least-once
/// RabbitMQ 3.10 marks some jobs as delivered before that never were.
pub(super) async fn declare(channel: &Channel, queue: WorkQueue) -> Result<(), BrokerError> {
    if queue.name == DEAD_LETTERS {
        return declare_dead_letters(channel).await;
    }
    let arguments = arguments([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", number(DELIVERY_LIMIT)),
        ("x-max-length", number(queue.max_length)),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(DEAD_LETTERS)),
    ]);
    declare_queue(channel, queue.name, QueueDeclareOptions::durable(), arguments).await.map(|_| ())
}

/// Declares a worker's own queue. A job leaves it at its first failed delivery, so that the reason in its `x-death` tells
/// whether it was begun; the strategy at-least-once, which needs `reject-publish`, keeps it until the shared queue has it.
pub(super) async fn declare_own(channel: &Channel, queue: &OwnQueue) -> Result<(), BrokerError> {
    let arguments = arguments([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", number(0)),
        ("x-message-ttl", number(queue.ttl_ms)),
        ("x-expires", number(OWN_EXPIRES_MS)),
        ("x-max-length", number(OWN_MAX)),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(INFERENCE.name)),
        ("x-dead-letter-strategy", text("at-least-once")),
    ]);
    declare_queue(channel, &queue.name, QueueDeclareOptions::durable(), arguments).await.map(|_| ())
}

/// Lets publishers find a worker's own queue.
pub(super) async fn bind_own(channel: &Channel, queue: &OwnQueue) -> Result<(), BrokerError> {
    let (key, exchange) = (name(&queue.name)?, name(AFFINITY)?);
    let bound = channel.queue_bind(key.clone(), exchange, key, QueueBindOptions::default(), FieldTable::default());
    bound.await.map_err(|error| of_queue(&queue.name, &error))
}

/// Hides a worker's own queue from publishers.
pub(super) async fn unbind_own(channel: &Channel, queue: &OwnQueue) -> Result<(), BrokerError> {
    let (key, exchange) = (name(&queue.name)?, name(AFFINITY)?);
    let unbound = channel.queue_unbind(key.clone(), exchange, key, FieldTable::default());
    unbound.await.map_err(|error| of_queue(&queue.name, &error))
}

async fn declare_dead_letters(channel: &Channel) -> Result<(), BrokerError> {
    let arguments = arguments([
        ("x-queue-type", text("quorum")),
        ("x-max-length", number(DEAD_LETTERS_MAX)),
        ("x-delivery-limit", number(LOOKS)),
    ]);
    declare_queue(channel, DEAD_LETTERS, QueueDeclareOptions::durable(), arguments).await.map(|_| ())
}

/// Declares [`DEAD_LETTERS_LOCK`], which vanishes with its reader.
pub(super) async fn declare_lock(channel: &Channel) -> Result<(), BrokerError> {
    let options = QueueDeclareOptions::durable().auto_delete();
    declare_queue(channel, DEAD_LETTERS_LOCK, options, FieldTable::default()).await.map(|_| ())
}

/// Declares a node's own reply queue. A full one refuses its publisher, as a work queue does: dropping the oldest frame
/// instead would tear an answer without anyone's knowing.
pub(super) async fn declare_replies(channel: &Channel, queue: &str) -> Result<(), BrokerError> {
    let arguments = arguments([("x-max-length", number(REPLIES_MAX)), ("x-overflow", text("reject-publish"))]);
    declare_queue(channel, queue, QueueDeclareOptions::exclusive().auto_delete(), arguments).await.map(|_| ())
}

/// Declares one reader's queue of `exchange`, which loses the oldest, and returns the name that the broker gave it.
pub(super) async fn declare_subscription(channel: &Channel, exchange: &str) -> Result<ShortString, BrokerError> {
    declare_fanout(channel, exchange).await?;
    let arguments = arguments([("x-max-length", number(u32::try_from(LAG).unwrap_or(u32::MAX)))]);
    let queue = declare_queue(channel, "", QueueDeclareOptions::exclusive().auto_delete(), arguments).await?;
    let binding = (name(exchange)?, QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(queue.clone(), binding.0, "".into(), binding.1, binding.2).await;
    bound.map_err(|error| of_queue(exchange, &error))?;
    Ok(queue)
}

async fn declare_queue(
    channel: &Channel,
    queue: &str,
    options: QueueDeclareOptions,
    arguments: FieldTable,
) -> Result<ShortString, BrokerError> {
    let declared = channel.queue_declare(name(queue)?, options, arguments).await;
    declared.map(|queue| queue.name().clone()).map_err(|error| of_queue(queue, &error))
}

/// Declares an exchange that gives every subscriber a copy.
pub(super) async fn declare_fanout(channel: &Channel, exchange: &str) -> Result<(), BrokerError> {
    declare_exchange(channel, exchange, ExchangeKind::Fanout).await
}

async fn declare_exchange(channel: &Channel, exchange: &str, kind: ExchangeKind) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(name(exchange)?, kind, options, FieldTable::default());
    declared.await.map_err(|error| of_queue(exchange, &error))
}
