//! Jobs: deliveries that are settled by hand.

use super::{
    link::Link,
    source::{Kind, Sink, Source},
};
use crate::{
    BrokerError, Consumer, Delivery,
    broker::{Settle, count},
};
use async_trait::async_trait;
use lapin::{
    Acker,
    options::{BasicAckOptions, BasicRejectOptions},
    types::AMQPValue,
};
use protocol::topology::{DEAD_LETTERS, DELIVERY_LIMIT, WorkQueue};
use tokio::{runtime::Handle, sync::mpsc};

/// Takes jobs from `queue`. The channel holds one: the rest wait in lapin, which forgets them when the connection
/// breaks, so that few jobs are done twice.
pub(super) async fn consume(link: &Link, queue: WorkQueue, prefetch: u16) -> Result<Consumer, BrokerError> {
    let (sender, receiver) = mpsc::channel(1);
    let jobs = Jobs { sender, queue: queue.name, tasks: link.tasks.clone() };
    Source { link: link.clone(), kind: Kind::Work { queue, prefetch } }.start(jobs).await?;
    Ok(Consumer::new(receiver, ()))
}

struct Jobs {
    sender: mpsc::Sender<Delivery>,
    queue: &'static str,
    tasks: Handle,
}

impl Sink for Jobs {
    async fn take(&self, message: lapin::message::Delivery) {
        let attempt = attempt(&message);
        let settle = Box::new(AmqpSettle { acker: message.acker, queue: self.queue, tasks: self.tasks.clone() });
        // Some versions of RabbitMQ do not count a crashed consumer as a failed delivery, so the limit is kept here too.
        if attempt > DELIVERY_LIMIT && self.queue != DEAD_LETTERS {
            let _ = settle.dead_letter().await;
            return;
        }
        // A refused one goes back to its queue by being dropped.
        let _ = self.sender.send(Delivery::new(message.data.into(), attempt, settle)).await;
    }

    async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// How often the message was delivered before. RabbitMQ 4 also counts deliveries that did not fail, and a new attempt
/// must have a new number.
fn attempt(message: &lapin::message::Delivery) -> u32 {
    let headers = message.properties.headers().as_ref();
    let count = |key| headers.and_then(|headers| headers.inner().get(key)).and_then(whole).unwrap_or(0);
    count("x-delivery-count").max(count("x-acquired-count")).max(message.redelivered.into())
}

fn whole(value: &AMQPValue) -> Option<u32> {
    match value {
        AMQPValue::ShortShortInt(n) => u32::try_from(*n).ok(),
        AMQPValue::ShortShortUInt(n) => Some((*n).into()),
        AMQPValue::ShortInt(n) => u32::try_from(*n).ok(),
        AMQPValue::ShortUInt(n) => Some((*n).into()),
        AMQPValue::LongInt(n) => u32::try_from(*n).ok(),
        AMQPValue::LongUInt(n) => Some(*n),
        AMQPValue::LongLongInt(n) => u32::try_from(*n).ok(),
        _ => None,
    }
}

/// Settles one delivery; dropped, it hands the job back. It has no effect once the channel has ended.
struct AmqpSettle {
    acker: Acker,
    queue: &'static str,
    tasks: Handle,
}

/// `basic.reject`, not `basic.nack`: RabbitMQ 4.3 does not count the latter as a failed delivery.
async fn reject(acker: &Acker, requeue: bool) -> lapin::Result<bool> {
    acker.reject(BasicRejectOptions { requeue }).await
}

impl AmqpSettle {
    /// A settlement that did not reach the broker needs no handling: the job is delivered again.
    fn finish(&self, settled: lapin::Result<bool>, how: &'static str) -> Result<(), BrokerError> {
        match settled {
            Ok(true) => count::settled(self.queue, how),
            Ok(false) => tracing::debug!(queue = self.queue, how, "the delivery was handed back already"),
            Err(error) => tracing::debug!(queue = self.queue, how, %error, "the delivery is not settled"),
        }
        Ok(())
    }
}

#[async_trait]
impl Settle for AmqpSettle {
    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        let settled = self.acker.ack(BasicAckOptions::default()).await;
        self.finish(settled, "ack")
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        let settled = reject(&self.acker, true).await;
        self.finish(settled, "requeue")
    }

    async fn dead_letter(self: Box<Self>) -> Result<(), BrokerError> {
        let settled = reject(&self.acker, false).await;
        self.finish(settled, "dead_letter")
    }
}

impl Drop for AmqpSettle {
    fn drop(&mut self) {
        if self.acker.usable() {
            let acker = self.acker.clone();
            self.tasks.spawn(async move { reject(&acker, true).await });
        }
    }
}
