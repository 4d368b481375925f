//! Dead letters keep their reason, are looked at without being moved, and go back to work or away one by one.

use crate::support::{Backend, SOON, declared, eventually, next, nothing, publish, text};
use protocol::{
    Envelope, JobId, TenantId, Timestamp,
    topology::{DEAD_LETTERS, DELIVERY_LIMIT, WorkQueue},
};
use runtime::{
    Broker, BrokerError, Message,
    broker::{DeadLetter, DeadLetters, MAX_WHY, Reason, RequeueError, connect, requeue},
    testing::{Proxy, RabbitMq},
};
use std::time::Duration;

/// More than fit in one of the broker's own small tables, which keep their order.
const MANY: usize = 100;
const NOW: Timestamp = Timestamp(1_000);

async fn until_dead(broker: &Backend, count: usize) {
    eventually("the dead letters are there", async || broker.depth(DEAD_LETTERS).await.unwrap() as usize == count)
        .await;
}

/// Refuses every job of `bodies`, in this order.
async fn kill(broker: &Backend, queue: WorkQueue, bodies: &[String]) {
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    for body in bodies {
        publish(broker, queue, body).await;
        next(&mut consumer).await.dead_letter(Reason::Refused, "for a test").await.unwrap();
    }
    until_dead(broker, bodies.len()).await;
}

async fn see(letters: &mut dyn DeadLetters) -> Vec<DeadLetter> {
    let mut seen = Vec::new();
    while let Some(letter) = letters.next().await.unwrap() {
        seen.push(letter);
    }
    seen
}

fn bodies(letters: &[DeadLetter]) -> Vec<String> {
    letters.iter().map(|letter| text(&letter.body)).collect()
}

/// All that are there; they stay.
async fn all(broker: &dyn Broker) -> Vec<DeadLetter> {
    let mut letters = broker.dead_letters().await.unwrap();
    let seen = see(&mut *letters).await;
    letters.close().await.unwrap();
    seen
}

/// Takes them all away.
async fn clear(broker: &Backend) {
    let mut letters = broker.dead_letters().await.unwrap();
    for letter in see(&mut *letters).await {
        letters.remove(&letter).await.unwrap();
    }
    letters.close().await.unwrap();
    assert_eq!(broker.depth(DEAD_LETTERS).await.unwrap(), 0);
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

fn envelope(job: &str) -> Envelope<Vec<f32>> {
    Envelope {
        v: 1,
        tenant: TenantId::parse("acme").unwrap(),
        job: JobId::parse(job).unwrap(),
        reply_to: "replies.nobody".into(),
        deadline: Timestamp(7),
        published: Timestamp(5),
        traceparent: None,
        body: vec![0.1, 0.7],
    }
}

pub async fn every_dead_letter_tells_its_reason(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let late = Message { body: "late".into(), ttl: Some(Duration::from_millis(1)) };
    broker.publish(queue.name, late).await.unwrap();
    until_dead(broker, 1).await;
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    publish(broker, queue, "poison").await;
    for _ in 0..=DELIVERY_LIMIT {
        next(&mut consumer).await.requeue().await.unwrap();
    }
    until_dead(broker, 2).await;
    publish(broker, queue, "unreadable").await;
    let why = format!("a long story: {}", "é".repeat(MAX_WHY));
    next(&mut consumer).await.dead_letter(Reason::Refused, &why).await.unwrap();
    until_dead(broker, 3).await;
    let seen = all(&**broker).await;
    let told: Vec<_> = seen.iter().map(|letter| (text(&letter.body), letter.reason)).collect();
    let expected = [("late", Reason::Expired), ("poison", Reason::DeliveryLimit), ("unreadable", Reason::Refused)];
    assert_eq!(told, expected.map(|(body, reason)| (body.to_owned(), reason)));
    assert!(seen.iter().all(|letter| letter.queue == queue.name && letter.died.is_some()), "{seen:?}");
    assert_eq!(seen.iter().map(|letter| letter.why.chars().count()).collect::<Vec<_>>(), [0, 0, MAX_WHY]);
    clear(broker).await;
}

pub async fn to_look_at_dead_letters_moves_none(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let expected = numbered(MANY);
    kill(broker, queue, &expected).await;
    assert_eq!(bodies(&all(&**broker).await), expected);
    let mut half = broker.dead_letters().await.unwrap();
    for _ in 0..MANY / 2 {
        half.next().await.unwrap().unwrap();
    }
    drop(half);
    until_dead(broker, MANY).await;
    for _ in 0..2 {
        assert_eq!(bodies(&all(&**broker).await), expected, "in order, and all of them");
    }
    clear(broker).await;
}

pub async fn dead_letters_have_one_reader_at_a_time(broker: &Backend) {
    let queue = declared(broker, 10).await;
    kill(broker, queue, &numbered(3)).await;
    let mut letters = broker.dead_letters().await.unwrap();
    letters.next().await.unwrap().unwrap();
    let error = broker.dead_letters().await.err().expect("a second reader");
    assert!(matches!(&error, BrokerError::Unavailable(why) if why.contains("somebody else")), "{error:?}");
    letters.close().await.unwrap();
    assert_eq!(bodies(&all(&**broker).await), numbered(3));
    clear(broker).await;
}

pub async fn what_dies_during_a_look_is_seen_at_the_next(broker: &Backend) {
    let queue = declared(broker, 10).await;
    kill(broker, queue, &numbered(2)).await;
    let mut letters = broker.dead_letters().await.unwrap();
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    publish(broker, queue, "later").await;
    next(&mut consumer).await.dead_letter(Reason::Refused, "").await.unwrap();
    until_dead(broker, 3).await;
    assert_eq!(bodies(&see(&mut *letters).await), numbered(2));
    letters.close().await.unwrap();
    assert_eq!(bodies(&all(&**broker).await), ["0", "1", "later"]);
    clear(broker).await;
}

pub async fn a_dead_letter_goes_back_to_work_with_a_new_deadline(broker: &Backend) {
    let queue = declared(broker, 10).await;
    let jobs: Vec<String> = ["a", "b"].map(|job| serde_json::to_string(&envelope(job)).unwrap()).into();
    kill(broker, queue, &[&jobs[..], &["no job".into()]].concat()).await;
    let mut letters = broker.dead_letters().await.unwrap();
    let seen = see(&mut *letters).await;
    let within = Duration::from_secs(60);
    requeue(&**broker, &mut *letters, &seen[1], NOW, within).await.unwrap();
    let refused = requeue(&**broker, &mut *letters, &seen[2], NOW, within).await;
    assert_eq!(refused, Err(RequeueError::Unreadable));
    letters.close().await.unwrap();
    let mut consumer = broker.consume(queue, 1).await.unwrap();
    let job = next(&mut consumer).await;
    let expected = Envelope { deadline: NOW.after_ms(60_000), published: NOW, ..envelope("b") };
    assert_eq!((serde_json::from_slice::<Envelope<Vec<f32>>>(&job.body).unwrap(), job.attempt), (expected, 0));
    job.ack().await.unwrap();
    nothing(&mut consumer).await;
    assert_eq!(bodies(&all(&**broker).await), [&jobs[0], "no job"]);
    clear(broker).await;
}

pub async fn a_requeued_job_dies_again_when_its_time_runs_out(broker: &Backend) {
    let queue = declared(broker, 10).await;
    kill(broker, queue, &[serde_json::to_string(&envelope("late")).unwrap()]).await;
    let mut letters = broker.dead_letters().await.unwrap();
    let letter = letters.next().await.unwrap().unwrap();
    requeue(&**broker, &mut *letters, &letter, NOW, Duration::from_millis(1)).await.unwrap();
    letters.close().await.unwrap();
    until_dead(broker, 1).await;
    let seen = all(&**broker).await;
    assert_eq!((seen[0].reason, seen[0].queue.as_str()), (Reason::Expired, queue.name));
    clear(broker).await;
}

/// Whatever a reader had not removed returns when its connection breaks in the middle, as when its process is killed.
pub async fn a_reader_that_is_cut_off_loses_nothing(server: &RabbitMq) {
    let steady = Backend::amqp(connect(&server.url(), SOON).await.unwrap(), &server.url()).await;
    let queue = declared(&steady, 10).await;
    kill(&steady, queue, &numbered(MANY)).await;
    let proxy = Proxy::start(server.port());
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    let broker = connect(&url, SOON).await.unwrap();
    let mut letters = broker.dead_letters().await.unwrap();
    let seen = see(&mut *letters).await;
    letters.remove(&seen[3]).await.unwrap();
    assert_eq!(steady.depth(DEAD_LETTERS).await.unwrap(), 0);
    proxy.cut();
    eventually("the rest is back", async || steady.depth(DEAD_LETTERS).await.unwrap() as usize >= MANY - 1).await;
    assert!(letters.remove(&seen[4]).await.is_err() || letters.close().await.is_err(), "its connection is lost");
    let mut left = bodies(&all(&*steady).await);
    left.sort_by_key(|body| body.parse::<usize>().unwrap());
    // Whether the broker heard that it goes is open.
    left.retain(|body| body != "3");
    assert_eq!(left, numbered(MANY).into_iter().filter(|body| body != "3").collect::<Vec<_>>());
    clear(&steady).await;
}
