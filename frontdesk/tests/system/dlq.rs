//! The dead letters of a running system.

use crate::{
    distributed::Cluster,
    harness::{ECHO, Frontdesk, System, binary, http},
};
use protocol::{Envelope, Event, JobId, Lang, Reply, RetrievalJob, TenantId, Timestamp, topology};
use runtime::{
    Broker, Clock, Message,
    broker::{Incoming, connect},
    clock::System as SystemClock,
};
use serde_json::Value;
use std::{process::Command, sync::Arc, time::Duration};

const SECRET: &str = "where is my parcel 4711";
const REPLIES: &str = "replies.dlq-test";

fn dlq(system: &System, args: &[&str]) -> (bool, String) {
    let common: Vec<&str> = system.args.iter().map(String::as_str).collect();
    let output = Command::new(binary()).arg("dlq").args(args).args(common).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout) + &text(output.stderr))
}

fn done(system: &System, args: &[&str]) -> String {
    let (success, text) = dlq(system, args);
    assert!(success, "{args:?}: {text}");
    text
}

fn refused(system: &System, args: &[&str]) -> String {
    let (success, text) = dlq(system, args);
    assert!(!success, "{args:?} was accepted: {text}");
    text
}

fn job(tenant: &str, id: &str) -> Vec<u8> {
    let envelope = Envelope {
        v: 1,
        tenant: TenantId::parse(tenant).unwrap(),
        job: JobId::parse(id).unwrap(),
        reply_to: REPLIES.into(),
        deadline: Timestamp(1),
        published: SystemClock.now(),
        traceparent: None,
        body: RetrievalJob::new(SECRET, Lang::en(), 3),
    };
    serde_json::to_vec(&envelope).unwrap()
}

async fn publish(broker: &Arc<dyn Broker>, body: Vec<u8>, ttl: Option<Duration>) {
    broker.publish(topology::RETRIEVAL.name, Message { body: body.into(), ttl }).await.unwrap();
}

async fn until_dead(broker: &Arc<dyn Broker>, count: u32) {
    for _ in 0..200 {
        if broker.depth(topology::DEAD_LETTERS).await.unwrap() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not {count} dead letters within 10 s");
}

async fn gauge_says(worker: &Frontdesk, count: u32) {
    let line = format!("frontdesk_dead_letters {count}\n");
    for _ in 0..100 {
        let metrics = http().get(format!("{}/metrics", worker.url)).send().await.unwrap().text().await.unwrap();
        if metrics.contains(&line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("/metrics does not say {line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_requeued_and_dropped() {
    let cluster = Cluster::start(ECHO);
    let system = &cluster.system;
    let broker = connect(&cluster.rabbit.url(), Duration::from_secs(20)).await.unwrap();
    let mut replies = broker.replies(REPLIES).await.unwrap();
    for id in ["turn1.r0", "turn2.r0"] {
        publish(&broker, job("acme", id), Some(Duration::from_millis(1))).await;
    }
    publish(&broker, job("globex", "turn3.r0"), Some(Duration::from_millis(1))).await;
    until_dead(&broker, 3).await;
    let worker = cluster.role("worker-retrieval", &[]).await;
    publish(&broker, b"{\"v\":1, \"torn".to_vec(), None).await;
    until_dead(&broker, 4).await;
    gauge_says(&worker, 4).await;

    let list = done(system, &["list"]);
    for word in ["turn1.r0", "acme", "globex", "q.retrieval", "expired", "refused", "unreadable: Eof", "4 dead letters"]
    {
        assert!(list.contains(word), "{word} in {list}");
    }
    assert!(!list.contains("parcel"), "customers' words stay out: {list}");
    assert!(done(system, &["list", "--limit", "1"]).contains("3 more"));
    let found: Value = serde_json::from_str(&done(system, &["list", "--json", "--reason", "refused"])).unwrap();
    let torn = found[0]["job"].as_str().unwrap();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["tenant"]), (1, &Value::Null), "{found}");
    assert!(torn.starts_with("body-"), "{torn}");
    let shown = done(system, &["show", "--job", "turn1"]);
    assert!(shown.contains(SECRET) && shown.contains("x-death"), "{shown}");
    let shown: Value = serde_json::from_str(&done(system, &["show", "--json", "--job", "turn3.r0"])).unwrap();
    assert_eq!((&shown[0]["tenant"], &shown[0]["body"]["body"]["query"]), (&"globex".into(), &SECRET.into()));

    assert!(refused(system, &["drop"]).contains("--all"));
    assert!(refused(system, &["requeue", "--job", "nobody"]).contains("no such dead letter"));
    assert!(refused(system, &["requeue", "--all", "--deadline", "soon"]).contains("60s"));
    assert!(refused(system, &["list", "--reason", "boredom"]).contains("delivery_limit"));
    assert!(refused(system, &["requeue", "--job", torn]).contains("refused again"));
    assert!(refused(&System::new(ECHO), &["list"]).contains("broker.url"));

    let told = done(system, &["requeue", "--tenant", "acme", "--limit", "1"]);
    assert!(told.contains("requeued turn1.r0 to q.retrieval"), "{told}");
    let answer = tokio::time::timeout(Duration::from_secs(20), replies.recv()).await.unwrap();
    let Some(Incoming::Reply(body)) = answer else { panic!("{answer:?}") };
    let reply: Reply = serde_json::from_slice(&body).unwrap();
    assert_eq!(reply.job.as_str(), "turn1.r0");
    assert!(matches!(reply.events[0], Event::Retrieved(_)), "its new deadline has not passed: {:?}", reply.events);

    assert!(done(system, &["drop", "--queue", "q.retrieval", "--tenant", "acme"]).contains("1 dropped"));
    let left: Value = serde_json::from_str(&done(system, &["list", "--json"])).unwrap();
    let left: Vec<&str> = left.as_array().unwrap().iter().map(|letter| letter["job"].as_str().unwrap()).collect();
    assert_eq!(left, ["turn3.r0", torn]);
    let dropped: Value = serde_json::from_str(&done(system, &["drop", "--all", "--json"])).unwrap();
    assert_eq!(dropped["dropped"].as_array().unwrap().len(), 2);
    assert!(done(system, &["list"]).contains("0 dead letters"));
    gauge_says(&worker, 0).await;
}
