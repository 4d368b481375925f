//! Replies and broadcasts: deliveries that are settled as they are sent.
//!
//! The broker sends them without waiting, so a reader that lags behind loses some rather than fill the memory: of
//! replies the newest (their sequence numbers show the gap), of broadcasts the oldest.

use super::{
    link::Link,
    source::{Kind, Open, Sink, Source},
};
use crate::{
    BrokerError,
    broker::{
        Incoming,
        broadcasts::{self, LAG},
    },
};
use bytes::Bytes;
use protocol::topology::REPLIES_MAX;
use tokio::{
    runtime::Handle,
    sync::{
        broadcast,
        mpsc::{self, error::TrySendError},
    },
};

pub(super) async fn replies(link: &Link, queue: &str) -> Result<mpsc::Receiver<Incoming>, BrokerError> {
    let (sender, receiver) = mpsc::channel(REPLIES_MAX as usize);
    Source { link: link.clone(), kind: Kind::Replies(queue.into()) }
        .start(Replies { sender, tasks: link.tasks.clone() })
        .await?;
    Ok(receiver)
}

pub(super) async fn subscribe(link: &Link, exchange: &str) -> Result<mpsc::Receiver<Bytes>, BrokerError> {
    let sender = broadcast::Sender::new(LAG);
    let receiver = broadcasts::forward(sender.subscribe());
    Source { link: link.clone(), kind: Kind::Broadcasts(exchange.into()) }.start(Broadcasts(sender)).await?;
    Ok(receiver)
}

struct Replies {
    sender: mpsc::Sender<Incoming>,
    tasks: Handle,
}

impl Sink for Replies {
    async fn relay(&self, open: &mut Open) {
        while let Some(delivery) = open.next().await {
            if let Err(TrySendError::Full(_)) = self.sender.try_send(Incoming::Reply(delivery.data.into())) {
                tracing::warn!("the reader of replies is too slow: a reply is lost");
            }
        }
    }

    async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Never lost: where it does not fit it waits aside, for waiting here would pile replies up in lapin.
    fn renewed(&self) {
        if let Err(TrySendError::Full(renewed)) = self.sender.try_send(Incoming::Renewed) {
            let sender = self.sender.clone();
            self.tasks.spawn(async move { sender.send(renewed).await });
        }
    }
}

struct Broadcasts(broadcast::Sender<Bytes>);

impl Sink for Broadcasts {
    async fn relay(&self, open: &mut Open) {
        while let Some(delivery) = open.next().await {
            // An error means that the reader has just left.
            let _ = self.0.send(delivery.data.into());
        }
    }

    async fn closed(&self) {
        self.0.closed().await;
    }
}
