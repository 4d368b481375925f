//! One client's connection breaks while the broker and everybody else go on.

use crate::{
    listening::{heard, reply},
    support::{SOON, message, show_logs},
};
use runtime::{
    Broker, BrokerError,
    broker::{Incoming, connect},
    testing::{Proxy, RabbitMq},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

const REPLIES: &str = "replies.cut";

/// Publishes until the queue has the reader again.
async fn publish(broker: &Arc<dyn Broker>, body: &'static str) {
    let deadline = Instant::now() + SOON;
    while let Err(error) = broker.publish(REPLIES, message(body)).await {
        assert_eq!(error, BrokerError::Unroutable(REPLIES.into()));
        assert!(Instant::now() < deadline, "the reply queue does not come back");
        sleep(Duration::from_millis(20)).await;
    }
}

pub async fn a_reader_learns_that_its_queue_was_lost(server: &RabbitMq) {
    show_logs();
    let proxy = Proxy::start(server.port());
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    let (reader, writer) = (connect(&url, SOON).await.unwrap(), connect(&server.url(), SOON).await.unwrap());
    let mut replies = reader.replies(REPLIES).await.unwrap();
    publish(&writer, "before").await;
    assert_eq!(heard(&mut replies).await, reply("before"));
    for round in ["first", "second"] {
        proxy.shut();
        while writer.publish(REPLIES, message("lost")).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        proxy.open();
        publish(&writer, round).await;
        let mut next = heard(&mut replies).await;
        while next == reply("lost") {
            next = heard(&mut replies).await;
        }
        assert_eq!((next, heard(&mut replies).await), (Incoming::Renewed, reply(round)));
    }
}
