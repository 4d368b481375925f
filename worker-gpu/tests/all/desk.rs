//! A broker with one worker, and a reader of its frames.

use bytes::Bytes;
use protocol::{
    Cancel, ChatMessage, Envelope, Event, InferenceJob, JobId, Priority, Reply, Role, Sampling, TenantId, Timestamp,
    Tools, WorkerId, topology,
};
use runtime::{
    Broker, Clock, Context, Health, Message,
    broker::Incoming,
    clock::{Counting, System},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use worker_gpu::{Config, Engine, RunError};

pub const REPLIES: &str = "replies.test";
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Desk {
    pub context: Context,
    replies: Option<mpsc::Receiver<Incoming>>,
}

pub struct Worker {
    pub id: WorkerId,
    pub stop: CancellationToken,
    pub running: JoinHandle<Result<(), RunError>>,
}

impl Desk {
    pub async fn new() -> Self {
        Self::at(Arc::new(System)).await
    }

    pub async fn at(clock: Arc<dyn Clock>) -> Self {
        let broker = runtime::broker::connect("memory:", PATIENCE).await.unwrap();
        let replies = Some(broker.replies(REPLIES).await.unwrap());
        let (random, stop) = (Arc::new(Counting::default()), CancellationToken::new());
        let context = Context { broker, clock, random, health: Health::default(), stop };
        Self { context, replies }
    }

    pub fn broker(&self) -> &dyn Broker {
        &*self.context.broker
    }

    /// Starts a worker with the engine that `config` names.
    pub fn work(&self, config: Config) -> Worker {
        let engines = worker_gpu::open_all(&config, std::path::Path::new("/nowhere")).unwrap();
        self.work_with(config, engines)
    }

    pub fn work_with(&self, config: Config, engines: Vec<Box<dyn Engine>>) -> Worker {
        let stop = CancellationToken::new();
        let context = Context { stop: stop.clone(), ..self.context.clone() };
        let worker = WorkerId::from_uuid(context.random.uuid());
        let running = tokio::spawn(worker_gpu::run(config, engines, worker.clone(), context));
        Worker { id: worker, stop, running }
    }

    pub fn envelope(&self, job: &str, text: &str) -> Envelope<InferenceJob> {
        let now = self.context.clock.now();
        Envelope {
            v: Envelope::<InferenceJob>::VERSION,
            tenant: TenantId::parse("demo").unwrap(),
            job: JobId::parse(job).unwrap(),
            reply_to: REPLIES.into(),
            deadline: now.after_ms(60_000),
            published: now,
            traceparent: None,
            body: InferenceJob {
                messages: vec![ChatMessage::new(Role::User, text)],
                prefix: String::new(),
                sampling: greedy(if text.len() > 1000 { 10_000 } else { 64 }),
                priority: Priority::Interactive,
                weight: 1,
                tools: Tools::default(),
                thinking: None,
            },
        }
    }

    pub async fn publish(&self, envelope: &Envelope<InferenceJob>) {
        self.publish_bytes(serde_json::to_vec(envelope).unwrap().into()).await;
    }

    pub async fn publish_bytes(&self, body: Bytes) {
        let message = Message { body, ttl: None };
        self.broker().publish(topology::INFERENCE.name, message).await.unwrap();
    }

    /// Publishes to the worker's own queue, once that is there.
    pub async fn submit_to(&self, worker: &Worker, job: &str, text: &str) {
        let body: Bytes = serde_json::to_vec(&self.envelope(job, text)).unwrap().into();
        let queue = topology::own(&worker.id);
        for _ in 0..1000 {
            if self.broker().publish(&queue, Message { body: body.clone(), ttl: None }).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no queue {queue}");
    }

    pub async fn submit(&self, job: &str, text: &str) {
        self.publish(&self.envelope(job, text)).await;
    }

    pub async fn cancel(&self, job: &str) {
        let cancel = Cancel { job: JobId::parse(job).unwrap() };
        let body = serde_json::to_vec(&cancel).unwrap().into();
        self.broker().broadcast(topology::CANCEL, body).await.unwrap();
    }

    /// The next batch of frames.
    pub async fn reply(&mut self) -> Reply {
        let incoming = timeout(PATIENCE, self.replies.as_mut().unwrap().recv()).await.expect("a reply in time");
        let Some(Incoming::Reply(body)) = incoming else { panic!("not a reply: {incoming:?}") };
        serde_json::from_slice(&body).unwrap()
    }

    /// The batches of one attempt up to its last frame.
    pub async fn answer(&mut self) -> Answer {
        let mut batches = Vec::new();
        loop {
            batches.push(self.reply().await);
            let last = batches.last().and_then(|reply| reply.events.last());
            if matches!(last, Some(Event::Finished { .. } | Event::Failed(_))) {
                return Answer(batches);
            }
        }
    }

    /// The reader goes away.
    pub fn leave(&mut self) {
        self.replies = None;
    }

    pub async fn jobs_left(&self) -> u32 {
        self.broker().depth(topology::INFERENCE.name).await.unwrap()
    }

    pub async fn dead_letters(&self) -> u32 {
        self.broker().depth(topology::DEAD_LETTERS).await.unwrap()
    }
}

impl Worker {
    /// Stops it as a signal would; it must end.
    pub async fn stop(self) -> Result<(), RunError> {
        self.stop.cancel();
        timeout(PATIENCE, self.running).await.expect("an end in time").unwrap()
    }
}

/// One attempt's batches.
pub struct Answer(pub Vec<Reply>);

impl Answer {
    pub fn events(&self) -> Vec<&Event> {
        self.0.iter().flat_map(|reply| &reply.events).collect()
    }

    pub fn last(&self) -> &Event {
        self.events().last().unwrap()
    }

    /// Who answered.
    pub fn worker(&self) -> &WorkerId {
        let started = self.events().into_iter().find_map(|event| match event {
            Event::Started { worker, .. } => Some(worker),
            _ => None,
        });
        started.expect("it was started")
    }

    pub fn text(&self) -> String {
        let text = |event: &&Event| match event {
            Event::Token { text, .. } => text.clone(),
            _ => String::new(),
        };
        self.events().iter().map(text).collect()
    }

    /// Numbers without gaps, one job, one attempt.
    pub fn assert_in_order(&self) {
        let mut expected = 0;
        for reply in &self.0 {
            assert_eq!((&reply.job, reply.attempt), (&self.0[0].job, self.0[0].attempt));
            assert_eq!(reply.seq, expected);
            expected += reply.events.len() as u64;
        }
    }
}

pub fn greedy(max_tokens: u32) -> Sampling {
    Sampling { max_tokens, ..Sampling::default() }
}

pub fn echo(delay_ms: u64) -> Config {
    Config { engine: format!("echo:?delay_ms={delay_ms}"), max_sequences: 2, ..Config::default() }
}

pub fn past() -> Timestamp {
    Timestamp(1)
}
