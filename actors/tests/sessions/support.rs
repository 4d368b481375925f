//! A registry on the embedded broker with workers that do what a test says.

use actors::{Config, Persona, Profile, Profiles, Registry, TurnStream, start_with, store};
use protocol::{
    Cancel, ClientMessageId, DocumentId, DocumentReport, Envelope, ErrorCode, Event, Failure, FaqMatch, FinishReason,
    InferenceJob, JobId, KnowledgeJob, KnowledgeVersion, NodeId, Passage, QuantizedVector, Reply, RetrievalJob,
    Retrieved, SessionId, Submit, TenantId, TurnEvent, Usage, WorkerId, topology,
};
use runtime::{Broker, Context, Health, Message, broker, clock};
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What the fake worker does next with a job.
pub enum Step {
    Say(&'static str),
    /// Goes on after so many milliseconds.
    Pause(u64),
    /// Goes on once the job is cancelled.
    AwaitCancel,
    /// Hands the job back, as the broker does for a worker that died.
    Die,
    /// Ends without a last frame, as when it is lost.
    Vanish,
    /// Says that the engine failed.
    Fail,
}

pub type Script = dyn Fn(&InferenceJob, u32) -> Vec<Step> + Send + Sync;

/// Answers jobs by a script and remembers what it saw.
pub struct FakeWorker {
    broker: Arc<dyn Broker>,
    script: Box<Script>,
    pub jobs: Mutex<Vec<Envelope<InferenceJob>>>,
    pub queries: Mutex<Vec<RetrievalJob>>,
    pub cancelled: Mutex<Vec<JobId>>,
    /// The version of the knowledge; 0: it is not told.
    pub version: AtomicU64,
    /// Vectors of questions.
    pub meanings: Mutex<HashMap<&'static str, [f32; 2]>>,
    /// The passages are from another document.
    pub is_moved: AtomicBool,
    /// Searches fail.
    pub is_blind: AtomicBool,
    /// Passages answer no question.
    pub is_unsure: AtomicBool,
}

/// The curated answer that fits questions about passwords.
pub const CURATED: &str = "Press Forgot password.";

impl FakeWorker {
    pub async fn start(broker: Arc<dyn Broker>, script: Box<Script>) -> Arc<Self> {
        let (jobs, queries, cancelled) = Default::default();
        let (is_blind, is_unsure, is_moved, version, meanings) = Default::default();
        let worker = Arc::new(Self {
            broker: broker.clone(),
            script,
            jobs,
            queries,
            cancelled,
            version,
            meanings,
            is_moved,
            is_blind,
            is_unsure,
        });
        let mut retrieval = broker.consume(topology::RETRIEVAL, 8).await.unwrap();
        let mut inference = broker.consume(topology::INFERENCE, 8).await.unwrap();
        let mut ingest = broker.consume(topology::INGEST, 8).await.unwrap();
        let mut cancels = broker.subscribe(topology::CANCEL).await.unwrap();
        let it = worker.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(job) = retrieval.next() => it.clone().retrieve(job).await,
                    Some(job) = ingest.next() => it.clone().ingest(job).await,
                    Some(job) = inference.next() => drop(tokio::spawn(it.clone().infer(job))),
                    Some(body) = cancels.recv() => it.cancelled.lock().unwrap().push(serde_json::from_slice::<Cancel>(&body).unwrap().job),
                    else => return,
                }
            }
        });
        worker
    }

    /// Takes jobs from its own queue, too; they are counted. The first token makes it leave, the second tells that it has.
    pub async fn own(self: &Arc<Self>) -> (Arc<AtomicUsize>, [CancellationToken; 2]) {
        let (count, stop, left) = (Arc::<AtomicUsize>::default(), CancellationToken::new(), CancellationToken::new());
        let queue = topology::OwnQueue::of(&WorkerId::parse("fake").unwrap(), 60_000);
        let mut own = self.broker.consume_own(queue, 8).await.unwrap();
        let (it, taken, stopped, gone) = (self.clone(), count.clone(), stop.clone(), left.clone());
        tokio::spawn(async move {
            while let Some(Some(job)) = stopped.run_until_cancelled(own.next()).await {
                taken.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(it.clone().infer(job));
            }
            assert!(own.stop().await.is_empty());
            gone.cancel();
            std::future::pending::<()>().await;
        });
        (count, [stop, left])
    }

    async fn reply(&self, to: &str, reply: &Reply) {
        let body = serde_json::to_vec(reply).unwrap().into();
        // The node may be gone.
        let _ = self.broker.publish(to, Message { body, ttl: None }).await;
    }

    async fn answer<B: Serialize>(&self, job: &Envelope<B>, event: Event) {
        self.reply(
            &job.reply_to,
            &Reply { job: job.job.clone(), attempt: 0, delivery: 0, seq: 0, events: vec![event] },
        )
        .await;
    }

    async fn retrieve(self: Arc<Self>, delivery: runtime::Delivery) {
        let job: Envelope<RetrievalJob> = serde_json::from_slice(&delivery.body).unwrap();
        self.queries.lock().unwrap().push(job.body.clone());
        let moved = if self.is_moved.load(Ordering::SeqCst) { "moved" } else { "faq" };
        let document = DocumentId::parse(format!("{moved}-of-{}", job.tenant)).unwrap();
        let version = KnowledgeVersion(self.version.load(Ordering::SeqCst));
        let meaning = self.meanings.lock().unwrap().get(job.body.query.as_str()).copied();
        let vector = meaning.filter(|_| job.body.wants_vector).map(|vector| QuantizedVector::of(&vector));
        let text = "Open Settings and press Reset password.".to_string();
        let is_known = !self.is_unsure.load(Ordering::SeqCst);
        let score = if job.body.query.contains("password") { 0.85 } else { 0.2 };
        let faq = FaqMatch {
            document: document.clone(),
            chunk: 7,
            question: "I forgot it".into(),
            answer: CURATED.into(),
            score,
            confidence: if job.body.query.contains("forgot") { 0.95 } else { score },
        };
        let confidence = Some(if is_known { 0.8 } else { 0.1 });
        let passage = Passage { document, chunk: 0, title: "Passwords".into(), text, score: 1.0 };
        let (passages, faq) = (vec![passage], Some(faq));
        let found = Event::Retrieved(Retrieved { passages, faq, confidence, version, vector });
        let failed = || Event::Failed(Failure::new(ErrorCode::Unavailable, "the index is away"));
        self.answer(&job, if self.is_blind.load(Ordering::SeqCst) { failed() } else { found }).await;
        delivery.ack().await.unwrap();
    }

    async fn ingest(self: Arc<Self>, delivery: runtime::Delivery) {
        let job: Envelope<KnowledgeJob> = serde_json::from_slice(&delivery.body).unwrap();
        let event = match &job.body {
            KnowledgeJob::List => Event::Documents { documents: Vec::new() },
            KnowledgeJob::Delete { .. } => Event::Failed(Failure::new(ErrorCode::DocumentNotFound, "no such document")),
            KnowledgeJob::Put { name, format, content } => Event::Ingested(DocumentReport {
                document: protocol::DocumentInfo {
                    id: DocumentId::parse("d").unwrap(),
                    name: name.clone(),
                    title: name.clone(),
                    format: *format,
                    passages: 1,
                    bytes: content.len() as u64,
                },
                replaced: false,
                warnings: Vec::new(),
            }),
            other => panic!("this worker does not know {other:?}"),
        };
        self.answer(&job, event).await;
        delivery.ack().await.unwrap();
    }

    async fn infer(self: Arc<Self>, delivery: runtime::Delivery) {
        let job: Envelope<InferenceJob> = serde_json::from_slice(&delivery.body).unwrap();
        self.jobs.lock().unwrap().push(job.clone());
        let worker = WorkerId::parse("fake").unwrap();
        let mut events = vec![Event::Started { worker, model: "fake-model".into(), prompt_tokens: 40 }];
        let (mut seq, mut said) = (0, 0);
        for step in (self.script)(&job.body, delivery.attempt) {
            match step {
                Step::Say(text) => {
                    said += 1;
                    events.push(Event::token(text, 1));
                }
                Step::Pause(ms) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    continue;
                }
                Step::AwaitCancel => {
                    while !self.cancelled.lock().unwrap().contains(&job.job) {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    return delivery.ack().await.unwrap();
                }
                Step::Die => return delivery.requeue().await.unwrap(),
                Step::Vanish => return delivery.ack().await.unwrap(),
                Step::Fail => {
                    events.push(Event::Failed(Failure::new(ErrorCode::EngineFailed, "out of order")));
                    self.reply(&job.reply_to, &frames(&job, delivery.attempt, seq, events)).await;
                    return delivery.ack().await.unwrap();
                }
            }
            let count = events.len() as u64;
            let events = std::mem::take(&mut events);
            self.reply(&job.reply_to, &frames(&job, delivery.attempt, seq, events)).await;
            seq += count;
        }
        let usage = Usage { prompt_tokens: 40, completion_tokens: said };
        events.push(Event::Finished { reason: FinishReason::Stop, usage });
        self.reply(&job.reply_to, &frames(&job, delivery.attempt, seq, events)).await;
        delivery.ack().await.unwrap();
    }
}

fn frames(job: &Envelope<InferenceJob>, attempt: u32, seq: u64, events: Vec<Event>) -> Reply {
    Reply { job: job.job.clone(), attempt, delivery: 0, seq, events }
}

/// Ids that differ from node to node.
pub fn context(broker: Arc<dyn Broker>) -> Context {
    let (clock, random) = (Arc::new(clock::System), Arc::new(clock::System));
    Context { broker, clock, random, health: Health::default(), stop: CancellationToken::new() }
}

pub struct System {
    pub registry: Registry,
    pub worker: Arc<FakeWorker>,
    pub store: Arc<dyn store::SessionStore>,
    pub broker: Arc<dyn Broker>,
    pub config: Config,
}

pub fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub async fn memory_store(config: &Config) -> Arc<dyn store::SessionStore> {
    store::connect(config, Arc::new(clock::System), Duration::from_secs(1)).await.unwrap()
}

pub async fn node(
    name: &str,
    broker: &Arc<dyn Broker>,
    store: &Arc<dyn store::SessionStore>,
    config: &Config,
) -> Registry {
    let persona = Persona { name: "Acme".into(), ..Persona::default() };
    let profiles = Profiles::from([(tenant(), Profile { persona, ..Profile::default() })]);
    let node = NodeId::parse(name).unwrap();
    start_with(store.clone(), config.clone(), profiles, node, context(broker.clone())).await.unwrap()
}

impl System {
    pub async fn start(
        config: Config,
        script: impl Fn(&InferenceJob, u32) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let broker = broker::connect("memory:", Duration::from_secs(1)).await.unwrap();
        let worker = FakeWorker::start(broker.clone(), Box::new(script)).await;
        let store = memory_store(&config).await;
        let registry = node("node-1", &broker, &store, &config).await;
        Self { registry, worker, store, broker, config }
    }

    pub async fn session(&self) -> SessionId {
        self.registry.create(&tenant()).await.unwrap().id
    }

    pub async fn say(&self, session: &SessionId, text: &str) -> TurnStream {
        self.registry.submit(&tenant(), session, message(text, None)).await.unwrap()
    }
}

pub fn message(text: &str, id: Option<&str>) -> Submit {
    let client_message_id = id.map(|id| ClientMessageId::parse(id).unwrap());
    Submit { content: text.into(), client_message_id, lang: None, replace: false, deadline_ms: None }
}

/// All events to the end; fails when they take longer than 10 s.
pub async fn collect(mut stream: TurnStream) -> Vec<(u64, TurnEvent)> {
    let all = async {
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event);
        }
        events
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("the turn must end")
}

pub fn text_of(events: &[(u64, TurnEvent)]) -> String {
    let text = |(_, event): &(u64, TurnEvent)| {
        if let TurnEvent::Token { text, .. } = event { text.clone() } else { String::new() }
    };
    events.iter().map(text).collect()
}

/// The text of the last event, which must be `Finished`, and why it ended.
pub fn finished(events: &[(u64, TurnEvent)]) -> (String, FinishReason) {
    match &events.last().expect("events").1 {
        TurnEvent::Finished { text, finish_reason, .. } => (text.clone(), *finish_reason),
        other => panic!("{other:?}"),
    }
}

pub fn failed(events: &[(u64, TurnEvent)]) -> ErrorCode {
    match &events.last().expect("events").1 {
        TurnEvent::Failed(failure) => failure.code,
        other => panic!("{other:?}"),
    }
}

/// Waits until `done`; fails after 5 s.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}
