//! One client's connection breaks while the broker and everybody else go on.

use crate::{
    listening::{heard, reply},
    support::{SOON, eventually, message, next, queue, show_logs, text},
};
use runtime::{
    Broker, BrokerError, Context, Health,
    broker::{Incoming, connect, watch},
    clock::System,
    testing::{Proxy, RabbitMq},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

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

/// A broker that `proxy` can keep from the server.
async fn through(proxy: &Proxy, server: &RabbitMq, patience: Duration) -> Arc<dyn Broker> {
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    connect(&url, patience).await.unwrap()
}

pub async fn what_its_publisher_gave_up_is_not_sent(server: &RabbitMq) {
    let proxy = Proxy::start(server.port());
    let broker = through(&proxy, server, Duration::from_millis(500)).await;
    let steady = connect(&server.url(), SOON).await.unwrap();
    let jobs = queue(100);
    let mut consumer = steady.consume(jobs, 10).await.unwrap();
    proxy.shut();
    for _ in 0..20 {
        let error = broker.publish(jobs.name, message("given up")).await.unwrap_err();
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error:?}");
    }
    proxy.open();
    while broker.publish(jobs.name, message("wanted")).await.is_err() {}
    assert_eq!(text(&next(&mut consumer).await.body), "wanted");
}

pub async fn readiness_follows_the_broker(server: &RabbitMq) {
    let proxy = Proxy::start(server.port());
    let (health, stop) = (Health::default(), CancellationToken::new());
    let (clock, random) = (Arc::new(System), Arc::new(System));
    let broker = through(&proxy, server, SOON).await;
    let context = Context { broker, clock, random, health: health.clone(), stop: stop.clone() };
    let watch = tokio::spawn(watch(context));
    let is_ready = |wanted: bool| {
        let health = health.clone();
        async move || health.report().get("broker").is_some_and(|why| why.is_none() == wanted)
    };
    eventually("the broker is ready", is_ready(true)).await;
    proxy.shut();
    eventually("the outage is told", is_ready(false)).await;
    proxy.open();
    eventually("the return is told", is_ready(true)).await;
    stop.cancel();
    timeout(SOON, watch).await.unwrap().unwrap();
}

pub async fn a_reader_learns_that_its_queue_was_lost(server: &RabbitMq) {
    show_logs();
    let proxy = Proxy::start(server.port());
    let (reader, writer) = (through(&proxy, server, SOON).await, connect(&server.url(), SOON).await.unwrap());
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
