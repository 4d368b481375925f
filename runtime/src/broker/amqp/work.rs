//! Jobs: deliveries that are settled by hand.

use super::{
    dead,
    flow::{Flow, Held},
    headers::attempt,
    link::Link,
    outbox::Outbox,
    source::{Jobs, Kind, Open, Sink, Source, Wish},
};
use crate::{
    BrokerError, Consumer, Delivery,
    broker::{Control, Reason, Settle, count},
};
use async_trait::async_trait;
use bytes::Bytes;
use lapin::{
    Acker,
    options::{BasicAckOptions, BasicRejectOptions},
};
use protocol::topology::{DEAD_LETTERS, DELIVERY_LIMIT, is_own};
use std::sync::Arc;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

const ACK: &str = "ack";
const REQUEUE: &str = "requeue";
const SEND_ON: &str = "send_on";
const DEAD_LETTER: &str = "dead_letter";

/// Takes jobs from `queue`. The channel holds one: the rest wait in lapin, which forgets them when the connection
/// breaks, so that few jobs are done twice.
pub(super) async fn consume(link: &Link, outbox: &Outbox, queue: Jobs, prefetch: u16) -> Result<Consumer, BrokerError> {
    let (sender, receiver) = mpsc::channel(1);
    let step = prefetch.max(1);
    let (wish, wanted) = watch::channel(Wish::AtMost(step));
    let (done, stopped) = watch::channel(false);
    let name = queue.name().into();
    let kind = Kind::Work { jobs: queue.clone(), wanted: wanted.clone() };
    let (outbox, tasks) = (outbox.clone(), link.tasks.clone());
    let taker = Taker { sender, queue, name, step, wanted, done, outbox, tasks };
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
    outbox: Outbox,
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
        let body = Bytes::from(message.data);
        let (acker, outbox) = (message.acker, self.outbox.clone());
        let settle = Box::new(AmqpSettle { acker, queue, body: body.clone(), outbox, tasks, held, consumer });
        // Some versions of RabbitMQ do not count a crashed consumer as a failed delivery, so the limit is kept here too.
        if attempt > DELIVERY_LIMIT && &*self.name != DEAD_LETTERS {
            self.tasks.spawn(settle.dead_letter(Reason::DeliveryLimit, ""));
            return;
        }
        // A refused one goes back to its queue by being dropped.
        let _ = self.sender.send(Delivery::new(body, attempt, settle)).await;
    }
}

/// Settles one delivery; dropped, it hands the job back. It has no effect once the channel has ended.
struct AmqpSettle {
    acker: Acker,
    queue: Arc<str>,
    body: Bytes,
    outbox: Outbox,
    tasks: Handle,
    /// `None` once it is being settled.
    held: Option<Held>,
    /// Fails when the consumer is gone.
    consumer: watch::Receiver<Wish>,
}

impl AmqpSettle {
    /// A settlement that did not reach the broker needs no handling: the job is delivered again.
    async fn settle(self: Box<Self>, how: &'static str) -> Result<(), BrokerError> {
        let own = is_own(&self.queue);
        self.settle_as(how, if how == SEND_ON && !own { REQUEUE } else { how }).await
    }

    /// Counts it as `how`, and tells the broker to `act`.
    async fn settle_as(mut self: Box<Self>, how: &'static str, act: &str) -> Result<(), BrokerError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        match settle(&self.acker, held, act).await {
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

    async fn send_on(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(SEND_ON).await
    }

    /// RabbitMQ keeps no words with a rejection, so the dead letter is published and the job done. Where that fails it is
    /// rejected without them, which leads out of a worker's own queue to another worker.
    async fn dead_letter(self: Box<Self>, reason: Reason, why: &str) -> Result<(), BrokerError> {
        if !self.acker.usable() {
            return Ok(());
        }
        match self.outbox.send(dead::parcel(&self.queue, self.body.clone(), reason, why)).await {
            Ok(()) => self.settle_as(DEAD_LETTER, ACK).await,
            Err(error) => {
                tracing::warn!(queue = %self.queue, %reason, why, %error, "a dead letter loses its reason");
                self.settle_as(DEAD_LETTER, DEAD_LETTER).await
            }
        }
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
