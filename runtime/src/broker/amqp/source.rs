//! A stream of deliveries that is set up anew on every connection.

use super::{
    error::{self, broken, name, of_queue},
    link::{Backoff, Link, Live},
    topology,
};
use crate::BrokerError;
use futures_util::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use protocol::topology::WorkQueue;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// A queue that has no leader does not answer; after this time it is asked again.
const SETUP: Duration = Duration::from_secs(30);

/// What is taken from the broker.
pub(super) enum Kind {
    Work { queue: WorkQueue, prefetch: u16 },
    Replies(String),
    Broadcasts(String),
}

/// Where deliveries go.
pub(super) trait Sink: Send + Sync + 'static {
    /// Takes one; waiting here holds the rest back.
    fn take(&self, delivery: Delivery) -> impl Future<Output = ()> + Send;
    /// Returns when nobody wants more.
    fn closed(&self) -> impl Future<Output = ()> + Send;
    /// Hears that the source was set up anew.
    fn renewed(&self) {}
}

pub(super) struct Source {
    pub link: Link,
    pub kind: Kind,
}

/// A source on one connection.
struct Open {
    live: Arc<Live>,
    channel: Channel,
    deliveries: Consumer,
}

impl Source {
    /// Sets the source up and hands its deliveries to `sink` from then on, across reconnects.
    pub async fn start(self, sink: impl Sink) -> Result<(), BrokerError> {
        let open = self.first().await?;
        self.link.tasks.clone().spawn(self.run(open, sink));
        Ok(())
    }

    async fn first(&self) -> Result<Open, BrokerError> {
        let deadline = Instant::now() + self.link.patience;
        let mut backoff = Backoff::new();
        loop {
            let live = self.link.live_before(deadline).await?;
            match self.open_before(deadline, live).await {
                Err(BrokerError::Unavailable(_)) if Instant::now() < deadline => backoff.pause().await,
                result => return result,
            }
        }
    }

    async fn again(&self) -> Option<Open> {
        let mut backoff = Backoff::new();
        loop {
            let live = self.link.live().await?;
            match self.open_before(Instant::now() + SETUP, live).await {
                Ok(open) => return Some(open),
                Err(BrokerError::Misconfigured(why)) => tracing::error!(why, "cannot take messages"),
                Err(error) => tracing::debug!(%error, "cannot take messages yet"),
            }
            backoff.pause().await;
        }
    }

    async fn run(self, mut open: Open, sink: impl Sink) {
        loop {
            let done = tokio::select! {
                () = sink.closed() => true,
                () = open.live.lost.cancelled() => false,
                () = relay(&mut open.deliveries, &sink) => false,
            };
            open.close().await;
            if done {
                return;
            }
            let next = tokio::select! { () = sink.closed() => None, next = self.again() => next };
            let Some(next) = next else { return };
            open = next;
            sink.renewed();
        }
    }

    async fn open_before(&self, deadline: Instant, live: Arc<Live>) -> Result<Open, BrokerError> {
        let opening = live.during(self.open(live.clone()));
        let silent = || Err(BrokerError::Unavailable("the broker does not answer".into()));
        timeout_at(deadline, opening).await.unwrap_or_else(|_| silent())
    }

    async fn open(&self, live: Arc<Live>) -> Result<Open, BrokerError> {
        let channel = live.channel().await?;
        let (queue, options) = match &self.kind {
            Kind::Work { queue, prefetch } => {
                topology::declare(&channel, *queue).await?;
                let qos = channel.basic_qos((*prefetch).max(1), BasicQosOptions::default()).await;
                qos.map_err(|error| of_queue(queue.name, &error))?;
                (name(queue.name)?, BasicConsumeOptions::default())
            }
            Kind::Replies(queue) => {
                topology::declare_replies(&channel, queue).await?;
                (name(queue)?, BasicConsumeOptions { no_ack: true, exclusive: true, ..Default::default() })
            }
            Kind::Broadcasts(exchange) => {
                let queue = topology::declare_subscription(&channel, exchange).await?;
                (queue, BasicConsumeOptions { no_ack: true, exclusive: true, ..Default::default() })
            }
        };
        let deliveries = self.consume(&channel, queue, options).await?;
        Ok(Open { live, channel, deliveries })
    }

    async fn consume(
        &self,
        channel: &Channel,
        queue: ShortString,
        options: BasicConsumeOptions,
    ) -> Result<Consumer, BrokerError> {
        let consumed = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await;
        consumed.map_err(|error| match error::code(&error) {
            Some(error::ACCESS_REFUSED) if options.exclusive => {
                BrokerError::Misconfigured(format!("queue {queue} has a reader already: node ids must differ"))
            }
            _ => of_queue(queue.as_str(), &error),
        })
    }
}

impl Open {
    /// Hands back what was not settled.
    async fn close(self) {
        let closing = async { self.channel.close(200, "bye".into()).await.map_err(broken) };
        if let Err(error) = self.live.during(closing).await {
            tracing::debug!(%error, "a channel was closed already");
        }
    }
}

/// Ends when the broker ends the stream.
async fn relay(deliveries: &mut Consumer, sink: &impl Sink) {
    while let Some(Ok(delivery)) = deliveries.next().await {
        sink.take(delivery).await;
    }
}
