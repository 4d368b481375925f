//! Looking through the dead letters.
//!
//! They are taken a few at a time and not settled until the end, so that few bodies are in memory, and whatever ends the reader
//! gives them back. RabbitMQ puts what comes back behind what came back earlier; so all of them are taken before any goes back,
//! by one reader at a time. A consumer's prefetch bounds what it may hold, so each few have a consumer of their own.

use super::{
    error::{broken, name},
    headers::{deaths, get, json, whole, word},
    link::{Backoff, Link, Live},
    outbox::Parcel,
    topology::{self, DEAD_LETTERS_LOCK},
};
use crate::{
    BrokerError, Clock,
    broker::{DeadLetter, DeadLetters, Reason},
    clock::System,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    Acker, Channel, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};
use protocol::{Timestamp, topology::DEAD_LETTERS};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

/// What this system's own dead letters say of themselves.
const REASON: &str = "frontdesk-reason";
const WHY: &str = "frontdesk-why";
const QUEUE: &str = "frontdesk-queue";
const DIED: &str = "frontdesk-died";
/// How long to wait for another reader to finish.
const TURN: Duration = Duration::from_secs(3);
/// How many are delivered before they are asked for, and come back at once. Erlang keeps the order of small maps only.
const FEW: u16 = 16;
/// After so long the broker is asked whether there is any more.
const SILENCE: Duration = Duration::from_millis(500);
/// How long to wait until those that go back are there; a full queue drops as many instead.
const BACK: Duration = Duration::from_secs(1);
/// An answer that takes longer will not come.
const ANSWER: Duration = Duration::from_secs(30);

/// A job of `queue` as a dead letter.
pub(super) fn parcel(queue: &str, body: Bytes, reason: Reason, why: &str) -> Parcel {
    let mut headers = FieldTable::default();
    for (key, text) in [(REASON, reason.name()), (WHY, why), (QUEUE, queue)] {
        headers.insert(key.into(), AMQPValue::LongString(text.into()));
    }
    headers.insert(DIED.into(), AMQPValue::Timestamp(System.now().0 / 1000));
    Parcel { headers: Some(headers), ..Parcel::new("", DEAD_LETTERS, body) }
}

/// Waits for its turn and begins.
pub(super) async fn open(link: &Link) -> Result<Reader, BrokerError> {
    let live = link.live_before(Instant::now() + link.patience).await?;
    let (lock, place) = lock(&live).await?;
    let letters = live.during(live.channel()).await?;
    let qos = async { letters.basic_qos(FEW, BasicQosOptions::default()).await.map_err(broken) };
    live.during(qos).await?;
    let left = live.during(waiting(&letters)).await?;
    let open = Open { live, lock, _place: place, letters, left, few: None, held: Vec::new() };
    Ok(Reader { open: Some(open), tasks: link.tasks.clone() })
}

/// A channel that consumes from the lock.
async fn lock(live: &Live) -> Result<(Channel, Consumer), BrokerError> {
    let (until, mut backoff) = (Instant::now() + TURN, Backoff::new());
    loop {
        let channel = live.during(live.channel()).await?;
        match live.during(try_lock(&channel)).await {
            Ok(place) => return Ok((channel, place)),
            Err(error) if Instant::now() > until => {
                tracing::debug!(%error, "the dead letters are locked");
                let why = "somebody else is looking through the dead letters; try again when they are done";
                return Err(BrokerError::Unavailable(why.into()));
            }
            Err(_) => backoff.pause().await,
        }
    }
}

async fn try_lock(channel: &Channel) -> Result<Consumer, BrokerError> {
    topology::declare_lock(channel).await?;
    let options = BasicConsumeOptions { exclusive: true, no_ack: true, ..Default::default() };
    let consumed = channel.basic_consume(DEAD_LETTERS_LOCK.into(), "".into(), options, FieldTable::default()).await;
    consumed.map_err(broken)
}

async fn waiting(channel: &Channel) -> Result<u32, BrokerError> {
    let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    let declared = channel.queue_declare(name(DEAD_LETTERS)?, passive, FieldTable::default()).await;
    declared.map(|queue| queue.message_count()).map_err(broken)
}

pub(super) struct Reader {
    /// `None` once it is closed.
    open: Option<Open>,
    tasks: Handle,
}

struct Open {
    live: Arc<Live>,
    lock: Channel,
    /// Whose end ends the lock.
    _place: Consumer,
    letters: Channel,
    /// Not seen yet.
    left: u32,
    few: Option<Consumer>,
    /// Seen, by tag, which is their order; `None` once removed.
    held: Vec<(u64, Option<Acker>)>,
}

#[async_trait]
impl DeadLetters for Reader {
    async fn next(&mut self) -> Result<Option<DeadLetter>, BrokerError> {
        match &mut self.open {
            Some(open) => Ok(open.take().await?.map(read)),
            None => Ok(None),
        }
    }

    async fn remove(&mut self, letter: &DeadLetter) -> Result<(), BrokerError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let place = open.held.binary_search_by_key(&letter.number, |(tag, _)| *tag);
        let Some(acker) = place.ok().and_then(|place| open.held[place].1.take()) else { return Ok(()) };
        acker.ack(BasicAckOptions::default()).await.map(|_| ()).map_err(broken)
    }

    async fn close(mut self: Box<Self>) -> Result<(), BrokerError> {
        match self.open.take() {
            Some(open) => open.put_back().await,
            None => Ok(()),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.tasks.spawn(open.put_back());
        }
    }
}

impl Open {
    async fn take(&mut self) -> Result<Option<Delivery>, BrokerError> {
        if self.left == 0 {
            return Ok(None);
        }
        let live = self.live.clone();
        let silent = || Err(BrokerError::Unavailable(format!("no dead letter within {ANSWER:?}")));
        let taken = timeout(ANSWER, live.during(self.receive())).await.unwrap_or_else(|_| silent())?;
        self.left = if taken.is_some() { self.left - 1 } else { 0 };
        if let Some(delivery) = &taken {
            self.held.push((delivery.delivery_tag, Some(delivery.acker.clone())));
        }
        Ok(taken)
    }

    /// The next one; `None`: fewer are left than there were, for a full queue drops the oldest.
    async fn receive(&mut self) -> Result<Option<Delivery>, BrokerError> {
        if self.held.len().is_multiple_of(FEW.into()) {
            self.begin_few().await?;
        }
        let Some(few) = &mut self.few else { return Ok(None) };
        loop {
            match timeout(SILENCE, few.next()).await {
                Ok(Some(delivery)) => return delivery.map(Some).map_err(broken),
                Ok(None) => return Err(BrokerError::Unavailable("the dead letters' stream ended".into())),
                Err(_) if waiting(&self.letters).await? == 0 => return Ok(None),
                Err(_) => {}
            }
        }
    }

    async fn begin_few(&mut self) -> Result<(), BrokerError> {
        if let Some(few) = self.few.take() {
            self.letters.basic_cancel(few.tag(), BasicCancelOptions::default()).await.map_err(broken)?;
        }
        let options = BasicConsumeOptions::default();
        let consuming = self.letters.basic_consume(name(DEAD_LETTERS)?, "".into(), options, FieldTable::default());
        self.few = Some(consuming.await.map_err(broken)?);
        Ok(())
    }

    async fn put_back(mut self) -> Result<(), BrokerError> {
        while self.take().await?.is_some() {}
        let live = self.live.clone();
        let returning = async {
            if let Some(few) = self.few.take() {
                self.letters.basic_cancel(few.tag(), BasicCancelOptions::default()).await.map_err(broken)?;
            }
            for few in self.held.chunks(FEW.into()) {
                self.put_back_few(few).await?;
            }
            self.letters.close(200, "done".into()).await.map_err(broken)?;
            self.lock.close(200, "done".into()).await.map_err(broken)
        };
        live.during(returning).await
    }

    /// RabbitMQ keeps the order of a few that come back at once, but not that of what follows in the same moment.
    async fn put_back_few(&self, few: &[(u64, Option<Acker>)]) -> Result<(), BrokerError> {
        let back = few.iter().filter(|(_, acker)| acker.is_some()).count();
        let Some((last, _)) = few.last().filter(|_| back > 0) else { return Ok(()) };
        let before = waiting(&self.letters).await?;
        let all = BasicNackOptions { multiple: true, requeue: true };
        self.letters.basic_nack(*last, all).await.map_err(broken)?;
        let until = Instant::now() + BACK;
        while (waiting(&self.letters).await? as usize) < before as usize + back && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

fn read(delivery: Delivery) -> DeadLetter {
    let none = FieldTable::default();
    let headers = delivery.properties.headers().as_ref().unwrap_or(&none);
    let (queue, reason, died) = told_by_us(headers).or_else(|| told_by_broker(headers)).unwrap_or_default();
    DeadLetter {
        number: delivery.delivery_tag,
        queue: queue.into(),
        reason,
        why: word(headers, WHY).unwrap_or_default().into(),
        died: died.map(|seconds| Timestamp(seconds.saturating_mul(1000))),
        headers: json(headers),
        body: delivery.data.into(),
    }
}

/// The queue, the reason, and the time in seconds.
type Death<'a> = (&'a str, Reason, Option<u64>);

fn told_by_us(headers: &FieldTable) -> Option<Death<'_>> {
    let reason = word(headers, REASON)?.parse().ok()?;
    Some((word(headers, QUEUE)?, reason, get(headers, DIED).and_then(whole)))
}

/// RabbitMQ's own words for it (<https://www.rabbitmq.com/docs/dlx#effects>).
fn told_by_broker(headers: &FieldTable) -> Option<Death<'_>> {
    let death = deaths(headers).next()?;
    let reason = match word(death, "reason")? {
        "expired" => Reason::Expired,
        "delivery_limit" => Reason::DeliveryLimit,
        "rejected" => Reason::Refused,
        _ => Reason::Unknown,
    };
    Some((word(death, "queue")?, reason, get(death, "time").and_then(whole)))
}
