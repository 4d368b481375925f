//! The worker on its queues, over the broker in memory.

use crate::support::{retrieval, stores, tenant};
use protocol::{
    DocumentFormat, Envelope, ErrorCode, Event, JobId, KnowledgeJob, Lang, NodeId, Reply, RetrievalJob, Retrieved,
    Timestamp, topology,
};
use runtime::{
    Broker, Context, Health, Message,
    broker::Incoming,
    clock::{Counting, ManualClock},
};
use serde::Serialize;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{sync::mpsc::Receiver, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use worker_retrieval::Retrieval;

struct Bench {
    broker: Arc<dyn Broker>,
    clock: ManualClock,
    replies: Receiver<Incoming>,
    stop: CancellationToken,
    worker: JoinHandle<Result<(), runtime::BrokerError>>,
    _data: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let broker = runtime::broker::connect("memory:", Duration::from_secs(1)).await.unwrap();
        let replies = broker.replies(&reply_to()).await.unwrap();
        let (clock, stop) = (ManualClock::at(1_000), CancellationToken::new());
        let context = Context {
            broker: broker.clone(),
            clock: Arc::new(clock.clone()),
            random: Arc::new(Counting::default()),
            health: Health::default(),
            stop: stop.clone(),
        };
        let worker = tokio::spawn(Arc::new(hashing(data.path(), &clock).await).run(context));
        Self { broker, clock, replies, stop, worker, _data: data }
    }

    async fn send(&self, queue: &str, job: &str, body: impl Serialize) {
        self.send_to(&reply_to(), queue, job, body).await;
    }

    async fn send_to(&self, reply_to: &str, queue: &str, job: &str, body: impl Serialize) {
        let envelope = Envelope {
            v: 1,
            tenant: tenant(),
            job: JobId::parse(job).unwrap(),
            reply_to: reply_to.into(),
            deadline: Timestamp(5_000),
            published: Timestamp(900),
            traceparent: None,
            body,
        };
        self.publish(queue, serde_json::to_vec(&envelope).unwrap()).await;
    }

    async fn publish(&self, queue: &str, body: Vec<u8>) {
        self.broker.publish(queue, Message { body: body.into(), ttl: None }).await.unwrap();
    }

    async fn reply(&mut self) -> (String, Event) {
        let incoming = timeout(Duration::from_secs(20), self.replies.recv()).await.unwrap();
        let Some(Incoming::Reply(body)) = incoming else { panic!("not a reply: {incoming:?}") };
        let mut reply: Reply = serde_json::from_slice(&body).unwrap();
        assert_eq!((reply.seq, reply.events.len()), (0, 1));
        (reply.job.to_string(), reply.events.remove(0))
    }

    async fn until_depth(&self, queue: &str, depth: u32) {
        let wait = async {
            while self.broker.depth(queue).await.unwrap() != depth {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.unwrap();
    }

    /// Stops the worker and sees that it left no job behind.
    async fn end(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(20), self.worker).await.unwrap().unwrap().unwrap();
        for queue in [topology::RETRIEVAL.name, topology::INGEST.name] {
            assert_eq!(self.broker.depth(queue).await.unwrap(), 0, "{queue}");
        }
    }
}

async fn hashing(data: &Path, clock: &ManualClock) -> Retrieval {
    retrieval(stores(data).await, data, clock.clone())
}

fn reply_to() -> String {
    topology::replies(&NodeId::parse("n").unwrap())
}

fn put(name: &str, content: &str) -> KnowledgeJob {
    KnowledgeJob::Put { name: name.into(), format: DocumentFormat::Markdown, content: content.into() }
}

fn ask(query: &str) -> RetrievalJob {
    RetrievalJob::new(query, Lang::en(), 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_in_and_passages_come_out() {
    let mut bench = Bench::new().await;
    bench.send("q.ingest", "j1", put("a.md", "# Returns\n\nBring it back in 7 days.\n")).await;
    let (job, Event::Ingested(report)) = bench.reply().await else { panic!("no report") };
    assert_eq!((job.as_str(), report.replaced, report.document.title.as_str()), ("j1", false, "Returns"));
    bench.send("q.retrieval", "j2", ask("Can I bring it back?")).await;
    let (_, Event::Retrieved(found)) = bench.reply().await else { panic!("no passages") };
    assert_eq!(found.passages[0].text, "Bring it back in 7 days.");
    bench.send("q.ingest", "j3", KnowledgeJob::List).await;
    assert_eq!(bench.reply().await.1, Event::Documents { documents: vec![report.document.clone()] });
    let document = report.document.id;
    bench.send("q.ingest", "j4", KnowledgeJob::Delete { document: document.clone() }).await;
    assert_eq!(bench.reply().await.1, Event::Deleted);
    bench.send("q.ingest", "j5", KnowledgeJob::Delete { document }).await;
    let (_, Event::Failed(failure)) = bench.reply().await else { panic!("no failure") };
    assert_eq!(failure.code, ErrorCode::DocumentNotFound);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_documents_change_in_order() {
    let mut bench = Bench::new().await;
    for round in 0..12 {
        bench.send("q.ingest", &format!("j{round}"), put("a.md", &format!("version {round}"))).await;
    }
    for round in 0..12 {
        assert_eq!(bench.reply().await.0, format!("j{round}"));
    }
    bench.send("q.retrieval", "last", ask("version")).await;
    let (_, Event::Retrieved(found)) = bench.reply().await else { panic!("no passages") };
    assert_eq!(found.passages.iter().map(|p| p.text.as_str()).collect::<Vec<_>>(), ["version 11"]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_dead_letter() {
    let mut bench = Bench::new().await;
    bench.publish("q.retrieval", b"{\"v\":1".to_vec()).await;
    bench.publish("q.ingest", b"[]".to_vec()).await;
    bench.until_depth(topology::DEAD_LETTERS, 2).await;
    bench.send("q.ingest", "odd", "no knowledge job").await;
    let (job, Event::Failed(failure)) = bench.reply().await else { panic!("no failure") };
    assert_eq!((job.as_str(), failure.code), ("odd", ErrorCode::Unavailable), "who waits does not wait in vain");
    bench.until_depth(topology::DEAD_LETTERS, 3).await;
    bench.send("q.retrieval", "j", ask("still here?")).await;
    assert_eq!(bench.reply().await.1, Event::Retrieved(Retrieved { confidence: Some(0.0), ..Retrieved::default() }));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_and_late_ones_fail_by_name() {
    let mut bench = Bench::new().await;
    let mut codes = Vec::new();
    for (at, content) in ["", " \n", "nul \0 byte"].into_iter().enumerate() {
        bench.send("q.ingest", &format!("j{at}"), put("a.md", content)).await;
        let (_, Event::Failed(failure)) = bench.reply().await else { panic!("no failure") };
        codes.push(failure.code);
    }
    bench.send("q.retrieval", "empty", ask(" ")).await;
    let (_, Event::Failed(failure)) = bench.reply().await else { panic!("no failure") };
    codes.push(failure.code);
    bench.clock.advance(4_000);
    bench.send("q.retrieval", "late", ask("x")).await;
    let (_, Event::Failed(failure)) = bench.reply().await else { panic!("no failure") };
    codes.push(failure.code);
    use ErrorCode::{DeadlineExceeded, InvalidRequest, UnreadableDocument};
    assert_eq!(codes, [UnreadableDocument, UnreadableDocument, UnreadableDocument, InvalidRequest, DeadlineExceeded]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_hands_back_what_was_not_begun() {
    let bench = Bench::new().await;
    bench.stop.cancel();
    timeout(Duration::from_secs(20), bench.worker).await.unwrap().unwrap().unwrap();
    for round in 0..5 {
        let envelope = serde_json::json!({
            "v": 1, "tenant": "t", "job": format!("j{round}"), "reply_to": reply_to(), "deadline": 5_000,
            "published": 900, "body": put("a.md", "text"),
        });
        let message = Message { body: envelope.to_string().into(), ttl: None };
        bench.broker.publish("q.ingest", message).await.unwrap();
    }
    let data = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let context = Context {
        broker: bench.broker.clone(),
        clock: Arc::new(bench.clock.clone()),
        random: Arc::new(Counting::default()),
        health: Health::default(),
        stop,
    };
    timeout(Duration::from_secs(20), Arc::new(hashing(data.path(), &bench.clock).await).run(context))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bench.broker.depth("q.ingest").await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_left_costs_nothing() {
    let mut bench = Bench::new().await;
    bench.send_to("replies.gone", "q.retrieval", "j1", ask("x")).await;
    bench.send("q.retrieval", "j2", ask("x")).await;
    assert_eq!(bench.reply().await.0, "j2");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_worker_that_died_is_done_by_the_next() {
    let mut bench = Bench::new().await;
    bench.stop.cancel();
    timeout(Duration::from_secs(20), &mut bench.worker).await.unwrap().unwrap().unwrap();
    bench.send("q.retrieval", "j", ask("x")).await;
    let mut dying = bench.broker.consume(topology::RETRIEVAL, 1).await.unwrap();
    let unsettled = dying.next().await.unwrap();
    assert_eq!(unsettled.attempt, 0);
    drop((dying, unsettled));
    let data = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let context = Context {
        broker: bench.broker.clone(),
        clock: Arc::new(bench.clock.clone()),
        random: Arc::new(Counting::default()),
        health: Health::default(),
        stop: stop.clone(),
    };
    bench.worker = tokio::spawn(Arc::new(hashing(data.path(), &bench.clock).await).run(context));
    bench.stop = stop;
    let incoming = timeout(Duration::from_secs(20), bench.replies.recv()).await.unwrap();
    let Some(Incoming::Reply(body)) = incoming else { panic!("not a reply: {incoming:?}") };
    let reply: Reply = serde_json::from_slice(&body).unwrap();
    assert_eq!((reply.job.as_str(), reply.attempt), ("j", 1));
    bench.end().await;
}
