//! Errors that a user can mend say what to mend.

use crate::support::queue;
use protocol::topology::WorkQueue;
use runtime::{
    BrokerError,
    broker::connect,
    testing::{RabbitMq, free_port},
};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

async fn misconfigured(url: &str) -> String {
    match connect(url, PATIENCE).await.map(|_| ()) {
        Err(BrokerError::Misconfigured(why)) => why,
        other => panic!("{other:?}"),
    }
}

pub async fn a_malformed_url_is_explained() {
    for url in ["", "redis://127.0.0.1", "amqp:s3cret", "s3cret"] {
        let why = misconfigured(url).await;
        assert!(why.contains("amqp://user:password@host:port/vhost") && !why.contains("redis://"), "{why}");
    }
    assert!(!misconfigured("http://me:s3cret@host").await.contains("s3cret"));
}

pub async fn nobody_listening_is_unavailable_in_time() {
    let (port, begin) = (free_port(), Instant::now());
    let url = format!("amqp://me:s3cret@127.0.0.1:{port}/%2f");
    let error = connect(&url, Duration::from_secs(1)).await.map(|_| ()).unwrap_err();
    let BrokerError::Unavailable(why) = error else { panic!("{error:?}") };
    assert!(why.contains(&format!("127.0.0.1:{port}")) && !why.contains("s3cret"), "{why}");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

pub async fn a_wrong_password_is_named_without_being_shown(server: &RabbitMq) {
    let why = misconfigured(&server.url().replace("guest:guest", "guest:s3cret")).await;
    assert!(why.contains("guest") && why.contains("password") && !why.contains("s3cret"), "{why}");
}

pub async fn a_missing_vhost_is_named(server: &RabbitMq) {
    let why = misconfigured(&server.url().replace("%2f", "elsewhere")).await;
    assert!(why.contains("elsewhere"), "{why}");
}

pub async fn a_queue_with_other_arguments_is_named(server: &RabbitMq) {
    let broker = connect(&server.url(), PATIENCE).await.unwrap();
    let queue = queue(10);
    drop(broker.consume(queue, 1).await.unwrap());
    let other = WorkQueue { max_length: 11, ..queue };
    let error = broker.consume(other, 1).await.map(|_| ()).unwrap_err();
    let BrokerError::Misconfigured(why) = error else { panic!("{error:?}") };
    assert!(why.contains(queue.name) && why.contains("x-max-length") && why.contains("delete"), "{why}");
}
