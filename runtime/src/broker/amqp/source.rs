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
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use protocol::topology::{OwnQueue, WorkQueue};
use std::{
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// A queue that has no leader does not answer; after this time it is asked again.
const SETUP: Duration = Duration::from_secs(30);

/// What is taken from the broker.
pub(super) enum Kind {
    /// Its sink begins to consume, once it knows how many at a time.
    Work {
        jobs: Jobs,
        wanted: watch::Receiver<Wish>,
    },
    Replies(String),
    Broadcasts(String),
}

/// How many jobs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// So many unsettled at a time.
    AtMost(u16),
    /// None any more.
    Stop,
}

/// Which jobs.
#[derive(Clone)]
pub(super) enum Jobs {
    Shared(WorkQueue),
    Own(OwnQueue),
}

impl Jobs {
    pub fn name(&self) -> &str {
        match self {
            Jobs::Shared(queue) => queue.name,
            Jobs::Own(queue) => &queue.name,
        }
    }

    /// Publishers find a worker's own queue as long as it takes jobs.
    async fn declare(&self, channel: &Channel, is_stopped: bool) -> Result<(), BrokerError> {
        match self {
            Jobs::Shared(queue) => topology::declare(channel, *queue).await,
            Jobs::Own(queue) => {
                topology::declare_own(channel, queue).await?;
                if is_stopped { Ok(()) } else { topology::bind_own(channel, queue).await }
            }
        }
    }

    /// Lets publishers find it no more.
    pub async fn hide(&self, channel: &Channel) -> Result<(), BrokerError> {
        match self {
            Jobs::Own(queue) => topology::unbind_own(channel, queue).await,
            Jobs::Shared(_) => Ok(()),
        }
    }
}

/// Where deliveries go.
pub(super) trait Sink: Send + Sync + 'static {
    /// Takes what comes until the broker ends the stream; waiting here holds the rest back.
    fn relay(&self, open: &mut Open) -> impl Future<Output = ()> + Send;
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
pub(super) struct Open {
    live: Arc<Live>,
    pub channel: Channel,
    queue: ShortString,
    options: BasicConsumeOptions,
    /// `None`: nothing is to come.
    deliveries: Option<Consumer>,
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
            let lost = open.live.lost.clone();
            let done = tokio::select! {
                () = sink.closed() => true,
                () = lost.cancelled() => false,
                () = sink.relay(&mut open) => false,
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
        let listening = BasicConsumeOptions { no_ack: true, exclusive: true, ..Default::default() };
        let (queue, options) = match &self.kind {
            Kind::Work { jobs, wanted } => {
                let is_stopped = *wanted.borrow() == Wish::Stop;
                jobs.declare(&channel, is_stopped).await?;
                return Ok(Open::new(live, channel, name(jobs.name())?, BasicConsumeOptions::default()));
            }
            Kind::Replies(queue) => {
                topology::declare_replies(&channel, queue).await?;
                (name(queue)?, listening)
            }
            Kind::Broadcasts(exchange) => (topology::declare_subscription(&channel, exchange).await?, listening),
        };
        let mut open = Open::new(live, channel, queue, options);
        open.consume().await?;
        Ok(open)
    }
}

impl Open {
    fn new(live: Arc<Live>, channel: Channel, queue: ShortString, options: BasicConsumeOptions) -> Self {
        Self { live, channel, queue, options, deliveries: None }
    }

    /// The next delivery; `None` when the broker or a cancellation has ended the stream.
    pub async fn next(&mut self) -> Option<Delivery> {
        match &mut self.deliveries {
            Some(deliveries) => deliveries.next().await?.ok(),
            None => pending().await,
        }
    }

    /// Begins a stream with at most `prefetch` (at least 1) deliveries unsettled; those of an earlier one do not count.
    pub async fn prefetch(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        let qos = self.channel.basic_qos(prefetch, BasicQosOptions::default()).await;
        qos.map_err(|error| of_queue(self.queue.as_str(), &error))?;
        self.consume().await
    }

    /// Asks the broker for no more; what was sent before comes, then the stream ends.
    pub async fn cancel(&mut self) -> Result<(), BrokerError> {
        let Some(deliveries) = &self.deliveries else { return Ok(()) };
        let cancelled = self.channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default()).await;
        cancelled.map_err(|error| of_queue(self.queue.as_str(), &error))
    }

    /// Whether there is a stream.
    pub fn is_consuming(&self) -> bool {
        self.deliveries.is_some()
    }

    /// Forgets a stream that has ended.
    pub fn cancelled(&mut self) {
        self.deliveries = None;
    }

    async fn consume(&mut self) -> Result<(), BrokerError> {
        let (queue, options) = (self.queue.clone(), self.options);
        let consumed = self.channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await;
        self.deliveries = Some(consumed.map_err(|error| match error::code(&error) {
            Some(error::ACCESS_REFUSED) if options.exclusive => {
                BrokerError::Misconfigured(format!("queue {queue} has a reader already: node ids must differ"))
            }
            _ => of_queue(queue.as_str(), &error),
        })?);
        Ok(())
    }

    /// Hands back what was not settled.
    async fn close(self) {
        let closing = async { self.channel.close(200, "bye".into()).await.map_err(broken) };
        if let Err(error) = self.live.during(closing).await {
            tracing::debug!(%error, "a channel was closed already");
        }
    }
}
