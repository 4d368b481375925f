//! Jobs: deliveries that are settled by hand.

use super::{
    flow::{Flow, Held},
    link::Link,
    source::{Jobs, Kind, Open, Sink, Source, Wish},
};
use crate::{
    BrokerError, Consumer, Delivery,
    broker::{Control, Settle, count},
};
use async_trait::async_trait;
use lapin::{
    Acker,
    options::{BasicAckOptions, BasicRejectOptions},
    types::{AMQPValue, FieldTable},
};
use protocol::topology::{DEAD_LETTERS, DELIVERY_LIMIT, is_own};
use std::sync::Arc;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

const ACK: &str = "ack";
const REQUEUE: &str = "requeue";
const DEAD_LETTER: &str = "dead_letter";

/// Takes jobs from `queue`. The channel holds one: the rest wait in lapin, which forgets them when the connection
/// breaks, so that few jobs are done twice.
pub(super) async fn consume(link: &Link, queue: Jobs, prefetch: u16) -> Result<Consumer, BrokerError> {
    let (sender, receiver) = mpsc::channel(1);
    let step = prefetch.max(1);
    let (wish, wanted) = watch::channel(Wish::AtMost(step));
    let (done, stopped) = watch::channel(false);
    let name = queue.name().into();
    let kind = Kind::Work { jobs: queue.clone(), wanted: wanted.clone() };
    let taker = Taker { sender, queue, name, step, wanted, done, tasks: link.tasks.clone() };
    Source { link: link.clone(), kind }.start(taker).await?;
    Ok(Consumer::new(receiver, Wishes { wish, stopped }))
}

/// What its user asks of a consumer, and what the broker knows of it.
struct Wishes {
    wish: watch::Sender<Wish>,
    /// Whether the broker knows of a stop.
    stopped: watch::Receiver<bool>,
}

#[async_trait]
impl Control for Wishes {
    fn limit(&self, most: u16) {
        let wish = Wish::AtMost(most);
        self.wish.send_if_modified(|last| *last != Wish::Stop && std::mem::replace(last, wish) != wish);
    }

    async fn stop(&self) {
        self.wish.send_replace(Wish::Stop);
        // An error means that nothing is taken any more.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }
}

struct Taker {
    sender: mpsc::Sender<Delivery>,
    queue: Jobs,
    name: Arc<str>,
    step: u16,
    wanted: watch::Receiver<Wish>,
    done: watch::Sender<bool>,
    tasks: Handle,
}

impl Sink for Taker {
    async fn relay(&self, open: &mut Open) {
        if let Err(error) = self.take_all(open).await {
            tracing::debug!(queue = %self.name, %error, "cannot take jobs any more");
        }
    }

    async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl Taker {
    async fn take_all(&self, open: &mut Open) -> Result<(), BrokerError> {
        let (flow, mut wanted) = (Flow::default(), self.wanted.clone());
        loop {
            let wish = *wanted.borrow_and_update();
            match wish {
                Wish::AtMost(limit) => self.grow(open, &flow, limit).await?,
                Wish::Stop if *self.done.borrow() => {}
                Wish::Stop => {
                    self.queue.hide(&open.channel).await?;
                    self.cancel(open, &flow).await?;
                    self.done.send_replace(true);
                }
            }
            tokio::select! {
                biased;
                Ok(()) = wanted.changed() => {}
                () = flow.settled() => {}
                delivery = open.next() => match delivery {
                    Some(delivery) => self.take(delivery, &flow).await,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Lets more jobs come if fewer than `limit` are out.
    async fn grow(&self, open: &mut Open, flow: &Flow, limit: u16) -> Result<(), BrokerError> {
        if !flow.wants_more(limit) {
            return Ok(());
        }
        let _standstill = flow.standstill().await;
        if flow.wants_more(limit) {
            self.cancel(open, flow).await?;
            open.prefetch(flow.renew(limit, self.step)).await?;
        }
        Ok(())
    }

    async fn cancel(&self, open: &mut Open, flow: &Flow) -> Result<(), BrokerError> {
        open.cancel().await?;
        while open.is_consuming() {
            match open.next().await {
                Some(delivery) => self.take(delivery, flow).await,
                None => open.cancelled(),
            }
        }
        Ok(())
    }

    async fn take(&self, message: lapin::message::Delivery, flow: &Flow) {
        let attempt = attempt(&message);
        let (queue, tasks) = (self.name.clone(), self.tasks.clone());
        let (held, consumer) = (Some(flow.hold()), self.wanted.clone());
        let settle = Box::new(AmqpSettle { acker: message.acker, queue, tasks, held, consumer });
        // Some versions of RabbitMQ do not count a crashed consumer as a failed delivery, so the limit is kept here too.
        if attempt > DELIVERY_LIMIT && &*self.name != DEAD_LETTERS {
            self.tasks.spawn(settle.dead_letter());
            return;
        }
        // A refused one goes back to its queue by being dropped.
        let _ = self.sender.send(Delivery::new(message.data.into(), attempt, settle)).await;
    }
}

/// How often the message was delivered before. RabbitMQ 4 also counts deliveries that did not fail, and a new attempt
/// must have a new number.
fn attempt(message: &lapin::message::Delivery) -> u32 {
    let headers = message.properties.headers().as_ref();
    let count = |key| headers.and_then(|headers| headers.inner().get(key)).and_then(whole).unwrap_or(0);
    let here = count("x-delivery-count").max(count("x-acquired-count")).max(message.redelivered.into());
    here + headers.map_or(0, |headers| failures_elsewhere(headers.inner().get("x-death")))
}

/// Deliveries that failed in workers' own queues. A job that left one for another reason was not begun there.
fn failures_elsewhere(deaths: Option<&AMQPValue>) -> u32 {
    let Some(AMQPValue::FieldArray(deaths)) = deaths else { return 0 };
    let failed = |death: &FieldTable| {
        let is = |key, matches: fn(&str) -> bool| death.inner().get(key).and_then(text).is_some_and(matches);
        is("queue", is_own) && is("reason", |reason| reason == "delivery_limit")
    };
    let tables = deaths.as_slice().iter().filter_map(AMQPValue::as_field_table);
    tables.filter(|death| failed(death)).filter_map(|death| death.inner().get("count").and_then(whole)).sum()
}

fn text(value: &AMQPValue) -> Option<&str> {
    std::str::from_utf8(value.as_long_string()?.as_bytes()).ok()
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
    queue: Arc<str>,
    tasks: Handle,
    /// `None` once it is being settled.
    held: Option<Held>,
    /// Fails when the consumer is gone.
    consumer: watch::Receiver<Wish>,
}

impl AmqpSettle {
    /// A settlement that did not reach the broker needs no handling: the job is delivered again.
    async fn settle(mut self: Box<Self>, how: &'static str) -> Result<(), BrokerError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        match settle(&self.acker, held, how).await {
            Ok(true) => count::settled(&self.queue, how),
            Ok(false) => tracing::debug!(queue = %self.queue, how, "the delivery was handed back already"),
            Err(error) => tracing::debug!(queue = %self.queue, how, %error, "the delivery is not settled"),
        }
        Ok(())
    }
}

/// `basic.reject`, not `basic.nack`: RabbitMQ 4.3 does not count the latter as a failed delivery.
async fn settle(acker: &Acker, held: Held, how: &str) -> lapin::Result<bool> {
    let settling = held.settling().await;
    let settled = match how {
        ACK => acker.ack(BasicAckOptions::default()).await,
        how => acker.reject(BasicRejectOptions { requeue: how == REQUEUE }).await,
    };
    drop(held);
    drop(settling);
    settled
}

#[async_trait]
impl Settle for AmqpSettle {
    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(ACK).await
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(REQUEUE).await
    }

    async fn dead_letter(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(DEAD_LETTER).await
    }
}

impl Drop for AmqpSettle {
    fn drop(&mut self) {
        // A consumer that ends hands all back, at once and in order.
        let is_needed = self.acker.usable() && self.consumer.has_changed().is_ok();
        if let Some(held) = self.held.take().filter(|_| is_needed) {
            let acker = self.acker.clone();
            self.tasks.spawn(async move { settle(&acker, held, REQUEUE).await });
        }
    }
}
