//! Attempts, time and length are bounded, and a publisher is told when a queue does not take its message.

use crate::support::{
    Backend, dead_letters, declared, eventually, message, next, nothing, publish, publish_all, refused, take,
};
use futures_util::future::join_all;
use protocol::topology::DELIVERY_LIMIT;
use runtime::{
    BrokerError, Message,
    broker::{MAX_BODY, Reason},
};
use std::time::Duration;

pub async fn a_job_that_keeps_failing_becomes_a_dead_letter(broker: &Backend) {
    let queue = declared(broker, 10).await;
    publish(broker, queue, "poison").await;
    let dead = dead_letters(broker, 1, async {
        let mut consumer = broker.consume(queue, 1).await.unwrap();
        for attempt in 0..=DELIVERY_LIMIT {
            let job = next(&mut consumer).await;
            assert_eq!(job.attempt, attempt);
            job.requeue().await.unwrap();
        }
        nothing(&mut consumer).await;
    });
    assert_eq!(dead.await, ["poison"]);
}

pub async fn a_hopeless_job_becomes_a_dead_letter(broker: &Backend) {
    let queue = declared(broker, 10).await;
    publish_all(broker, queue, &["bad", "good"]).await;
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    let dead =
        dead_letters(broker, 1, async { next(&mut consumer).await.dead_letter(Reason::Refused, "bad").await.unwrap() })
            .await;
    assert_eq!(dead, ["bad"]);
    assert_eq!(take(&mut consumer).await, ("good".into(), 0));
}

pub async fn a_job_whose_time_ran_out_becomes_a_dead_letter(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let short = Message { body: "late".into(), ttl: Some(Duration::from_millis(200)) };
    let dead = dead_letters(broker, 1, async { broker.publish(queue.name, short).await.unwrap() }).await;
    assert_eq!(dead, ["late"]);
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    nothing(&mut consumer).await;
}

pub async fn a_job_in_time_is_delivered(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let long = Message { body: "in time".into(), ttl: Some(Duration::from_secs(3600)) };
    broker.publish(queue.name, long).await.unwrap();
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    assert_eq!(take(&mut consumer).await, ("in time".into(), 0));
}

pub async fn a_full_queue_refuses_and_recovers(broker: &Backend) {
    let queue = declared(broker, 5).await;
    assert_eq!(refused(broker, queue.name).await, BrokerError::Full(queue.name.into()));
    let held = broker.depth(queue.name).await.unwrap();
    assert!((5..=50).contains(&held), "{held} messages in a queue of 5");
    let mut consumer = broker.consume(queue, 10).await.unwrap();
    for _ in 0..held {
        take(&mut consumer).await;
    }
    eventually("it takes messages again", async || broker.publish(queue.name, message("y")).await.is_ok()).await;
    assert_eq!(take(&mut consumer).await, ("y".into(), 0), "what was refused is not in the queue");
}

pub async fn a_message_without_a_queue_is_unroutable(broker: &Backend) {
    for name in ["replies.nobody", "q.nowhere", &"long".repeat(100)] {
        let error = broker.publish(name, message("x")).await.unwrap_err();
        assert!(matches!(error, BrokerError::Unroutable(_)), "{error:?}");
    }
}

pub async fn what_is_too_large_is_refused_and_the_largest_arrives(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let error = broker.publish(queue.name, message(vec![b'x'; MAX_BODY + 1])).await.unwrap_err();
    assert_eq!(error, BrokerError::TooLarge(MAX_BODY + 1));
    assert!(error.to_string().contains(&MAX_BODY.to_string()), "{error}");
    broker.publish(queue.name, message(vec![b'x'; MAX_BODY])).await.unwrap();
    assert_eq!(take(&mut broker.consume(queue, 1).await.unwrap()).await.0.len(), MAX_BODY);
}

pub async fn verdicts_do_not_mix(broker: &Backend) {
    let queue = declared(broker, 1000).await;
    let _reader = broker.replies("replies.somebody").await.unwrap();
    let targets = [queue.name, "replies.nobody", "replies.somebody", "replies.nowhere"];
    let all = (0..400).map(|n| broker.publish(targets[n % 4], message(n.to_string())));
    for (n, verdict) in join_all(all).await.into_iter().enumerate() {
        let target = targets[n % 4];
        let expected = if n % 2 == 0 { Ok(()) } else { Err(BrokerError::Unroutable(target.into())) };
        assert_eq!(verdict, expected, "message {n} to {target}");
    }
    assert_eq!(broker.depth(queue.name).await.unwrap(), 100);
}

pub async fn depth_counts_what_waits(broker: &Backend) {
    let queue = declared(broker, 10).await;
    assert_eq!(broker.depth(queue.name).await.unwrap(), 0);
    publish_all(broker, queue, &["1", "2", "3"]).await;
    assert_eq!(broker.depth(queue.name).await.unwrap(), 3);
    let error = broker.depth("q.nowhere").await.unwrap_err();
    assert_eq!(error, BrokerError::Unroutable("q.nowhere".into()));
    assert_eq!(broker.depth(queue.name).await.unwrap(), 3, "a failed question does no harm");
}
