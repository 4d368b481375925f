//! Jobs are delivered whole, in order, once at a time, and again when they were not done.

use crate::support::{
    Backend, WHILE, declared, eventually, message, next, nobody_consumes, nothing, publish, publish_all, take,
    take_all, text,
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use tokio::time::timeout;

fn first_attempts(bodies: &[&str]) -> Vec<(String, u32)> {
    bodies.iter().map(|body| ((*body).to_owned(), 0)).collect()
}

pub async fn bytes_arrive_as_they_were_sent(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    for body in [Bytes::new(), Bytes::from(every_byte.clone()), Bytes::from(every_byte.repeat(2000))] {
        broker.publish(queue.name, message(body.clone())).await.unwrap();
        let job = next(&mut consumer).await;
        assert_eq!(job.body, body);
        assert_eq!(job.attempt, 0);
        job.ack().await.unwrap();
    }
}

pub async fn jobs_come_in_order(broker: &Backend) {
    let queue = declared(broker, 1000).await;
    let bodies: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    for body in &bodies {
        publish(broker, queue, body).await;
    }
    let mut consumer = broker.consume(queue, 10).await.unwrap();
    let seen: Vec<String> = take_all(&mut consumer, 100).await.into_iter().map(|(body, _)| body).collect();
    assert_eq!(seen, bodies);
}

pub async fn prefetch_bounds_what_is_out(broker: &Backend) {
    let queue = declared(broker, 10).await;
    publish_all(broker, queue, &["1", "2", "3", "4", "5"]).await;
    let mut consumer = broker.consume(queue, 2).await.unwrap();
    let (one, two) = (next(&mut consumer).await, next(&mut consumer).await);
    nothing(&mut consumer).await;
    assert_eq!(broker.depth(queue.name).await.unwrap(), 3);
    one.ack().await.unwrap();
    let three = next(&mut consumer).await;
    assert_eq!(text(&three.body), "3");
    nothing(&mut consumer).await;
    two.ack().await.unwrap();
    three.ack().await.unwrap();
    assert_eq!(take_all(&mut consumer, 2).await, first_attempts(&["4", "5"]));
}

pub async fn an_acknowledged_job_is_gone(broker: &Backend) {
    let queue = declared(broker, 10).await;
    publish(broker, queue, "once").await;
    let mut consumer = broker.consume(queue, 5).await.unwrap();
    take(&mut consumer).await;
    drop(consumer);
    nobody_consumes(broker, queue).await;
    let mut consumer = broker.consume(queue, 5).await.unwrap();
    nothing(&mut consumer).await;
    assert_eq!(broker.depth(queue.name).await.unwrap(), 0);
}

pub async fn a_returned_job_comes_first_as_its_next_attempt(broker: &Backend) {
    let queue = declared(broker, 10).await;
    publish_all(broker, queue, &["a", "b", "c"]).await;
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    for attempt in 0..3 {
        let job = next(&mut consumer).await;
        assert_eq!((text(&job.body), job.attempt), ("a".into(), attempt));
        job.requeue().await.unwrap();
    }
    let expected = [("a".to_owned(), 3), ("b".to_owned(), 0), ("c".to_owned(), 0)];
    assert_eq!(take_all(&mut consumer, 3).await, expected);
}

pub async fn dropping_a_consumer_hands_its_jobs_back(broker: &Backend) {
    let queue = declared(broker, 10).await;
    publish_all(broker, queue, &["1", "2", "3"]).await;
    let mut first = broker.consume(queue, 2).await.unwrap();
    let held = next(&mut first).await;
    drop(first);
    eventually("all jobs wait again", async || broker.depth(queue.name).await.unwrap() == 3).await;
    let mut second = broker.consume(queue, 3).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut second).await);
    }
    held.ack().await.unwrap();
    let attempts: Vec<_> = seen.iter().map(|job| (text(&job.body), job.attempt)).collect();
    let expected = [("1".to_owned(), 1), ("2".to_owned(), 1), ("3".to_owned(), 0)];
    assert_eq!(attempts, expected, "settling the old delivery has no effect");
    drop(second);
    eventually("all jobs wait again", async || broker.depth(queue.name).await.unwrap() == 3).await;
}

pub async fn dropping_a_delivery_hands_it_back(broker: &Backend) {
    let queue = declared(broker, 10).await;
    publish(broker, queue, "job").await;
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    drop(next(&mut consumer).await);
    assert_eq!(take(&mut consumer).await, ("job".into(), 1));
    nothing(&mut consumer).await;
}

pub async fn consumers_share_a_queue(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let mut one = broker.consume(queue, 1).await.unwrap();
    let mut two = broker.consume(queue, 1).await.unwrap();
    publish_all(broker, queue, &["1", "2", "3"]).await;
    let (a, b) = (next(&mut one).await, next(&mut two).await);
    assert_eq!(BTreeSet::from([text(&a.body), text(&b.body)]), BTreeSet::from(["1".into(), "2".into()]));
    b.ack().await.unwrap();
    assert_eq!(take(&mut two).await, ("3".into(), 0));
    a.ack().await.unwrap();
}

pub async fn a_limit_holds_while_it_changes(broker: &Backend) {
    let queue = declared(broker, 100).await;
    let mut consumer = broker.consume(queue, 2).await.unwrap();
    consumer.limit(5);
    let bodies: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    publish_all(broker, queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(next(&mut consumer).await);
    }
    nothing(&mut consumer).await;
    consumer.limit(3);
    let (mut seen, mut most) = (5, 5);
    while seen < 20 {
        let done = held.remove(0);
        assert_eq!((text(&done.body), done.attempt), (bodies[seen - held.len() - 1].clone(), 0));
        done.ack().await.unwrap();
        most = most.min(held.len().max(4));
        while let Ok(Some(job)) = timeout(WHILE / 3, consumer.next()).await {
            held.push(job);
            seen += 1;
        }
        assert!((1..=most).contains(&held.len()), "{} of at most {most} are out", held.len());
    }
    consumer.limit(9);
    for job in held {
        job.ack().await.unwrap();
    }
}

pub async fn a_consumer_that_stops_keeps_what_is_out(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let mut consumer = broker.consume(queue, 2).await.unwrap();
    publish_all(broker, queue, &["1", "2", "3"]).await;
    let one = next(&mut consumer).await;
    eventually("two are out", async || broker.depth(queue.name).await.unwrap() == 1).await;
    let rest = consumer.stop().await;
    assert_eq!(rest.iter().map(|job| text(&job.body)).collect::<Vec<_>>(), ["2"]);
    for job in rest {
        job.requeue().await.unwrap();
    }
    one.ack().await.unwrap();
    nothing(&mut consumer).await;
    let mut other = broker.consume(queue, 2).await.unwrap();
    assert_eq!(take_all(&mut other, 2).await, [("2".to_owned(), 1), ("3".to_owned(), 0)]);
}

pub async fn a_thousand_concurrent_jobs_all_arrive_once(broker: &Backend) {
    let queue = declared(broker, 2000).await;
    let bodies: BTreeSet<String> = (0..1000).map(|n| format!("{n:04}")).collect();
    let results = join_all(bodies.iter().map(|body| broker.publish(queue.name, message(body.clone())))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut consumer = broker.consume(queue, 100).await.unwrap();
    let seen = take_all(&mut consumer, 1000).await;
    assert!(seen.iter().all(|(_, attempt)| *attempt == 0));
    assert_eq!(seen.into_iter().map(|(body, _)| body).collect::<BTreeSet<_>>(), bodies);
    nothing(&mut consumer).await;
}

/// Many limits, many settlements, and no job is counted as failed.
pub async fn a_limit_that_changes_often_fails_no_job(broker: &Backend) {
    let queue = declared(broker, 2000).await;
    let bodies: Vec<String> = (0..500).map(|n| format!("{n:03}")).collect();
    let published = join_all(bodies.iter().map(|body| broker.publish(queue.name, message(body.clone())))).await;
    assert!(published.iter().all(Result::is_ok));
    let mut consumer = broker.consume(queue, 3).await.unwrap();
    let mut done = tokio::task::JoinSet::new();
    for n in 0..500u16 {
        consumer.limit(1 + (n * 7) % 13);
        let job = next(&mut consumer).await;
        assert_eq!(job.attempt, 0);
        done.spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(u64::from(n % 5))).await;
            job.ack().await
        });
    }
    while let Some(acked) = done.join_next().await {
        acked.unwrap().unwrap();
    }
    nothing(&mut consumer).await;
    assert_eq!(broker.depth(queue.name).await.unwrap(), 0);
}
