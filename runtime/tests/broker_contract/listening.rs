//! Replies and broadcasts.

use crate::support::{Backend, SOON, eventually, message, refused, text};
use bytes::Bytes;
use protocol::topology::CANCEL;
use runtime::{BrokerError, broker::Incoming};
use tokio::{sync::mpsc::Receiver, time::timeout};

pub async fn heard<T>(receiver: &mut Receiver<T>) -> T {
    timeout(SOON, receiver.recv()).await.expect("a message should have come").expect("the receiver ended")
}

pub fn reply(body: impl Into<Bytes>) -> Incoming {
    Incoming::Reply(body.into())
}

pub async fn replies_arrive_in_order(broker: &Backend) {
    let mut replies = broker.replies("replies.order").await.unwrap();
    for n in 0..100 {
        broker.publish("replies.order", message(n.to_string())).await.unwrap();
    }
    for n in 0..100 {
        assert_eq!(heard(&mut replies).await, reply(n.to_string()));
    }
}

pub async fn replies_end_with_their_reader(broker: &Backend) {
    let replies = broker.replies("replies.brief").await.unwrap();
    broker.publish("replies.brief", message("x")).await.unwrap();
    drop(replies);
    assert_eq!(refused(broker, "replies.brief").await, BrokerError::Unroutable("replies.brief".into()));
    let mut replies = broker.replies("replies.brief").await.unwrap();
    broker.publish("replies.brief", message("new")).await.unwrap();
    assert_eq!(heard(&mut replies).await, reply("new"), "the old reader's message is gone");
}

pub async fn a_reply_queue_has_one_reader(broker: &Backend) {
    let mut replies = broker.replies("replies.mine").await.unwrap();
    let error = broker.replies("replies.mine").await.unwrap_err();
    assert!(matches!(&error, BrokerError::Misconfigured(why) if why.contains("replies.mine")), "{error:?}");
    broker.publish("replies.mine", message("x")).await.unwrap();
    assert_eq!(heard(&mut replies).await, reply("x"), "the first reader is undisturbed");
}

pub async fn a_broadcast_reaches_every_subscriber(broker: &Backend) {
    broker.broadcast(CANCEL, "nobody hears this".into()).await.unwrap();
    broker.broadcast("x.new", "nor this".into()).await.unwrap();
    let mut one = broker.subscribe(CANCEL).await.unwrap();
    let mut two = broker.subscribe(CANCEL).await.unwrap();
    for n in 0..20 {
        broker.broadcast(CANCEL, n.to_string().into()).await.unwrap();
    }
    for n in 0..20 {
        assert_eq!((text(&heard(&mut one).await), text(&heard(&mut two).await)), (n.to_string(), n.to_string()));
    }
    drop(one);
    broker.broadcast(CANCEL, "still here".into()).await.unwrap();
    assert_eq!(text(&heard(&mut two).await), "still here");
}

pub async fn the_broker_answers(broker: &Backend) {
    eventually("check succeeds", async || broker.check().await.is_ok()).await;
}
