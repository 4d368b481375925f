//! Publications, kept until the broker confirms them, across reconnects.
//!
//! One task owns the publishing channel; publishers wait for its verdict without holding a lock, so their confirms
//! overlap. A publication whose confirm got lost with a connection is published again: at least once, as jobs are.

use super::{
    confirms::{Confirms, Fate},
    error::{broken, name},
    link::{Backoff, Link, Live},
    topology,
};
use crate::BrokerError;
use bytes::Bytes;
use lapin::{
    BasicProperties, Channel,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::FieldTable,
};
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval, timeout},
};

/// Publications that are not confirmed yet; one more waits outside.
const UNCONFIRMED: usize = 4096;
/// After a crash of the broker, its users come back within a few of [`LONGEST`](super::link::LONGEST) of each other. Until
/// then a message without a queue is tried again, for its reader may be about to declare it.
const GRACE: Duration = Duration::from_secs(8);
const RETRY: Duration = Duration::from_millis(200);
const PERSISTENT: u8 = 2;

/// What is published.
pub(super) struct Parcel {
    /// Empty: the default exchange, which routes by queue name.
    pub exchange: String,
    /// The queue's name; empty for a broadcast.
    pub key: String,
    pub body: Bytes,
    /// When nobody wants it any more.
    pub expires: Option<Instant>,
    /// What the broker is to keep beside the body.
    pub headers: Option<FieldTable>,
}

impl Parcel {
    /// One that never expires.
    pub fn new(exchange: &str, key: &str, body: Bytes) -> Self {
        Self { exchange: exchange.into(), key: key.into(), body, expires: None, headers: None }
    }

    fn is_broadcast(&self) -> bool {
        self.key.is_empty() && !self.exchange.is_empty()
    }
}

struct Entry {
    parcel: Parcel,
    verdict: oneshot::Sender<Result<(), BrokerError>>,
}

#[derive(Clone)]
pub(super) struct Outbox {
    inbox: mpsc::Sender<Entry>,
    link: Link,
}

impl Outbox {
    pub fn start(link: Link) -> Self {
        let (inbox, entries) = mpsc::channel(64);
        let task = Task { link: link.clone(), entries, unconfirmed: BTreeMap::new(), again: Vec::new(), last_id: 0 };
        link.tasks.spawn(task.run());
        Self { inbox, link }
    }

    /// Returns once the broker has taken the parcel, or when patience has run out.
    pub async fn send(&self, parcel: Parcel) -> Result<(), BrokerError> {
        let (verdict, outcome) = oneshot::channel();
        let sending = async {
            self.inbox.send(Entry { parcel, verdict }).await.ok()?;
            outcome.await.ok()
        };
        timeout(self.link.patience, sending).await.ok().flatten().unwrap_or_else(|| Err(self.link.why_not()))
    }
}

struct Task {
    link: Link,
    entries: mpsc::Receiver<Entry>,
    unconfirmed: BTreeMap<u64, Entry>,
    /// Returned ones that deserve another try.
    again: Vec<u64>,
    last_id: u64,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        while let Some(live) = self.link.live().await {
            match live.during(self.serve(&live)).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the publishing channel broke"),
            }
            if live.renewed.is_none_or(|since| since.elapsed() > GRACE) {
                backoff = Backoff::new();
            }
            backoff.pause().await;
        }
    }

    /// Publishes on one connection until it breaks; `Ok`: there is nothing to publish any more.
    async fn serve(&mut self, live: &Live) -> Result<(), BrokerError> {
        let channel = live.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(broken)?;
        let mut session = Session { channel, confirms: Confirms::default(), exchanges: HashSet::new() };
        let mut retry = interval(RETRY);
        self.again.clear();
        self.unconfirmed.retain(|_, entry| !entry.verdict.is_closed());
        for (id, entry) in &self.unconfirmed {
            session.publish(*id, &entry.parcel).await?;
        }
        loop {
            tokio::select! {
                fates = session.confirms.next(), if !session.confirms.is_empty() => {
                    fates.map_err(broken)?.into_iter().for_each(|(id, fate)| self.judge(live, id, fate));
                }
                entry = self.entries.recv(), if self.unconfirmed.len() < UNCONFIRMED => {
                    let Some(entry) = entry else { return Ok(()) };
                    // Its publisher gave up while there was no connection.
                    if entry.verdict.is_closed() {
                        continue;
                    }
                    self.last_id += 1;
                    let entry = self.unconfirmed.entry(self.last_id).or_insert(entry);
                    session.publish(self.last_id, &entry.parcel).await?;
                }
                _ = retry.tick(), if !self.again.is_empty() => {
                    for id in std::mem::take(&mut self.again) {
                        if let Some(entry) = self.unconfirmed.get(&id).filter(|entry| !entry.verdict.is_closed()) {
                            session.publish(id, &entry.parcel).await?;
                        }
                    }
                }
            }
        }
    }

    fn judge(&mut self, live: &Live, id: u64, fate: Fate) {
        let Some(entry) = self.unconfirmed.remove(&id) else { return };
        // A worker's own queue outlives its reader, so that one is not late but gone.
        let may_be_late = entry.parcel.exchange.is_empty() && live.renewed.is_some_and(|since| since.elapsed() < GRACE);
        if fate == Fate::Returned && may_be_late && !entry.verdict.is_closed() {
            self.unconfirmed.insert(id, entry);
            self.again.push(id);
            return;
        }
        let key = entry.parcel.key;
        // An error means that the publisher has left.
        let _ = entry.verdict.send(match fate {
            Fate::Taken => Ok(()),
            Fate::Refused => Err(BrokerError::Full(key)),
            Fate::Returned => Err(BrokerError::Unroutable(key)),
        });
    }
}

struct Session {
    channel: Channel,
    confirms: Confirms,
    /// Those known to exist.
    exchanges: HashSet<String>,
}

impl Session {
    async fn publish(&mut self, id: u64, parcel: &Parcel) -> Result<(), BrokerError> {
        let mut properties = BasicProperties::default().with_message_id(id.to_string().into());
        if let Some(expires) = parcel.expires {
            let left = expires.saturating_duration_since(Instant::now()).as_millis();
            // RabbitMQ takes whole milliseconds in 32 bits.
            properties = properties.with_expiration(left.min(u32::MAX.into()).to_string().into());
        }
        if let Some(headers) = &parcel.headers {
            properties = properties.with_headers(headers.clone());
        }
        if !parcel.is_broadcast() {
            properties = properties.with_delivery_mode(PERSISTENT);
        }
        if parcel.is_broadcast() && !self.exchanges.contains(&parcel.exchange) {
            topology::declare_fanout(&self.channel, &parcel.exchange).await?;
            self.exchanges.insert(parcel.exchange.clone());
        }
        let options = BasicPublishOptions { mandatory: !parcel.is_broadcast(), ..Default::default() };
        let (exchange, key) = (name(&parcel.exchange)?, name(&parcel.key)?);
        let published = self.channel.basic_publish(exchange, key, options, &parcel.body, properties).await;
        self.confirms.push(id, published.map_err(broken)?);
        Ok(())
    }
}
