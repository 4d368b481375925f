//! Workers of every kind. The customer's words say what the answer to them is:
//! `count` gives ten tokens, `hang` one token and then nothing, `silent` nothing at all, `trace` the job's
//! `traceparent`, `break` a token and a failure,
//! `flood` far more than a connection holds, `refuse` a failure at once, `call` a thought and a call of the first tool; anything else is answered at once.

use protocol::{
    Aside, Cancel, DocumentId, DocumentInfo, DocumentOutcome, DocumentReport, Envelope, ErrorCode, Event, Failure,
    FinishReason, InferenceJob, IngestCounts, IngestId, IngestReport, IngestState, JobId, KnowledgeJob,
    KnowledgeVersion, Logprob, Outcome, Passage, Reply, RetrievalJob, Retrieved, TenantId, Timestamp, TokenLogprob,
    ToolCallDelta, Usage, WorkerId, topology,
};
use runtime::{Broker, Context, Message};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::broadcast;

/// Tokens of 2 KiB that `flood` gives.
pub const FLOOD: u32 = 400;

type Documents = Arc<Mutex<BTreeMap<(TenantId, DocumentId), DocumentInfo>>>;

/// Starts a worker per queue; they end with the broker.
pub async fn start(context: &Context) {
    let (cancels, _) = broadcast::channel(64);
    let mut told = context.broker.subscribe(topology::CANCEL).await.unwrap();
    let tell = cancels.clone();
    tokio::spawn(async move {
        while let Some(body) = told.recv().await {
            let cancel: Cancel = serde_json::from_slice(&body).unwrap();
            let _ = tell.send(cancel.job);
        }
    });
    let broker = context.broker.clone();
    serve(context, topology::INFERENCE, move |job| infer(broker.clone(), job, cancels.subscribe())).await;
    let broker = context.broker.clone();
    serve(context, topology::RETRIEVAL, move |job| retrieve(broker.clone(), job)).await;
    let (broker, documents) = (context.broker.clone(), Documents::default());
    serve(context, topology::INGEST, move |job| ingest(broker.clone(), job, documents.clone())).await;
}

async fn serve<B, F>(context: &Context, queue: topology::WorkQueue, work: impl Fn(Envelope<B>) -> F + Send + 'static)
where
    B: DeserializeOwned + Send,
    F: Future<Output = ()> + Send + 'static,
{
    let mut jobs = context.broker.consume(queue, 64).await.unwrap();
    tokio::spawn(async move {
        while let Some(delivery) = jobs.next().await {
            let job = work(serde_json::from_slice(&delivery.body).unwrap());
            tokio::spawn(async move {
                job.await;
                delivery.ack().await.unwrap();
            });
        }
    });
}

struct Answer<B> {
    broker: Arc<dyn Broker>,
    job: Envelope<B>,
    seq: u64,
}

impl<B> Answer<B> {
    async fn send(&mut self, event: Event) {
        let reply = Reply { job: self.job.job.clone(), attempt: 0, delivery: 0, seq: self.seq, events: vec![event] };
        self.seq += 1;
        let body = serde_json::to_vec(&reply).unwrap().into();
        let _ = self.broker.publish(&self.job.reply_to, Message { body, ttl: None }).await;
    }

    async fn token(&mut self, text: &str) {
        self.send(Event::token(text, 1)).await;
    }

    async fn finish(&mut self, reason: FinishReason, completion_tokens: u32) {
        self.send(Event::Finished { reason, usage: Usage { prompt_tokens: 11, completion_tokens } }).await;
    }
}

async fn infer(broker: Arc<dyn Broker>, job: Envelope<InferenceJob>, mut cancels: broadcast::Receiver<JobId>) {
    let question = job.body.messages.last().unwrap().content.clone();
    let id = job.job.clone();
    let mut answer = Answer { broker, job, seq: 0 };
    tokio::select! {
        () = speak(&mut answer, &question) => {}
        () = cancelled(&mut cancels, &id) => answer.finish(FinishReason::Cancelled, 1).await,
    }
}

async fn cancelled(cancels: &mut broadcast::Receiver<JobId>, id: &JobId) {
    while cancels.recv().await.unwrap() != *id {}
}

async fn speak(answer: &mut Answer<InferenceJob>, question: &str) {
    let says = |word: &str| question.contains(word);
    if says("silent") {
        std::future::pending::<()>().await;
    }
    if says("refuse") {
        return answer.send(Event::Failed(Failure::new(ErrorCode::Overloaded, "no room"))).await;
    }
    let worker = WorkerId::parse("worker-test").unwrap();
    answer.send(Event::Started { worker, model: "tiny".into(), prompt_tokens: 11 }).await;
    if says("trace") {
        let parent = answer.job.traceparent.clone().unwrap_or_default();
        answer.token(&parent).await;
        return answer.finish(FinishReason::Stop, 1).await;
    }
    if says("call") {
        let name = answer.job.body.tools.offered[0].name.clone();
        let first = ToolCallDelta { id: Some("call_1".into()), name: Some(name), ..ToolCallDelta::default() };
        let rest = ToolCallDelta { arguments: "{\"city\": \"Bern\"}".into(), ..ToolCallDelta::default() };
        answer.send(Event::Aside(Aside { raw: "<think>".into(), reasoning: "Hm".into(), ..Aside::default() })).await;
        for call in [first, rest] {
            answer.send(Event::Aside(Aside { raw: "{".into(), calls: vec![call], ..Aside::default() })).await;
        }
        return answer.finish(FinishReason::ToolCalls, 3).await;
    }
    if says("flood") {
        for _ in 0..FLOOD {
            answer.token(&"x".repeat(2_048)).await;
            // Faster than any engine, and no faster than a session takes it.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        return answer.finish(FinishReason::Stop, FLOOD).await;
    }
    if says("hang") {
        answer.token("well").await;
        std::future::pending::<()>().await;
    }
    if says("break") {
        answer.token("well").await;
        return answer.send(Event::Failed(Failure::new(ErrorCode::EngineFailed, "the engine broke"))).await;
    }
    if says("count") {
        // Another worker goes on where the first one stopped.
        for number in answer.job.body.prefix.split_whitespace().count()..10 {
            answer.token(&format!("{number} ")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        return answer.finish(FinishReason::Length, 10).await;
    }
    if answer.job.body.sampling.logprobs.is_some() {
        let told = |bytes: &[u8]| TokenLogprob {
            chosen: Logprob::of_bytes(bytes, -0.5),
            top: vec![Logprob::of_bytes(b"a", Logprob::NEVER)],
        };
        answer.send(Event::Token { text: "Hi".into(), tokens: 1, logprobs: vec![told(b"Hi")] }).await;
        let parts = vec![told(&[0xe4, 0xb8]), told(&[0x96])];
        answer.send(Event::Token { text: "世".into(), tokens: 2, logprobs: parts }).await;
        return answer.finish(FinishReason::Stop, 3).await;
    }
    answer.token("Hello").await;
    answer.token(", 世界 [1]").await;
    answer.finish(FinishReason::Stop, 2).await;
}

async fn retrieve(broker: Arc<dyn Broker>, job: Envelope<RetrievalJob>) {
    let document = DocumentId::parse("faq").unwrap();
    let (title, text) = ("Greetings".to_string(), "We greet the world.".to_string());
    let passages = vec![Passage { document, chunk: 0, title, text, score: 0.5 }];
    Answer { broker, job, seq: 0 }.send(Event::Retrieved(Retrieved { passages, ..Retrieved::default() })).await;
}

async fn ingest(broker: Arc<dyn Broker>, job: Envelope<KnowledgeJob>, documents: Documents) {
    let event = apply(&job.tenant, job.body.clone(), &documents);
    Answer { broker, job, seq: 0 }.send(event).await;
}

fn apply(tenant: &TenantId, job: KnowledgeJob, documents: &Documents) -> Event {
    let mut documents = documents.lock().unwrap();
    match job {
        KnowledgeJob::Put { name, format, content } => {
            let id = DocumentId::parse(name.as_str()).unwrap();
            let bytes = content.len() as u64;
            let document = DocumentInfo { id: id.clone(), title: name.clone(), name, format, passages: 1, bytes };
            let replaced = documents.insert((tenant.clone(), id), document.clone()).is_some();
            Event::Ingested(DocumentReport { document, replaced, warnings: Vec::new() })
        }
        KnowledgeJob::Delete { document } => match documents.remove(&(tenant.clone(), document)) {
            Some(_) => Event::Deleted,
            None => Event::Failed(Failure::new(ErrorCode::DocumentNotFound, "there is no such document")),
        },
        KnowledgeJob::List => {
            let own = documents.iter().filter(|((owner, _), _)| owner == tenant);
            Event::Documents { documents: own.map(|(_, document)| document.clone()).collect() }
        }
        KnowledgeJob::Add { name, format, original, ingest: None } => {
            let id = DocumentId::parse(name.as_str()).unwrap();
            let document =
                DocumentInfo { id: id.clone(), title: name.clone(), name, format, passages: 1, bytes: original.bytes };
            let replaced = documents.insert((tenant.clone(), id), document.clone()).is_some();
            Event::Ingested(DocumentReport { document, replaced, warnings: Vec::new() })
        }
        KnowledgeJob::Begin { ingest } => Event::Ingest(report(ingest, IngestState::Open, Vec::new())),
        KnowledgeJob::Add { name, original, ingest: Some(ingest), .. } => {
            Event::Ingest(report(ingest, IngestState::Open, vec![outcome(name, original.bytes)]))
        }
        KnowledgeJob::Publish { ingest, .. } => Event::Ingest(report(ingest, IngestState::Published, Vec::new())),
        KnowledgeJob::Progress { ingest, after } => {
            let name = format!("{}.docx", after.unwrap_or_default());
            Event::Ingest(report(ingest, IngestState::Published, vec![outcome(name, 1)]))
        }
        KnowledgeJob::Versions | KnowledgeJob::Rebuild => Event::Versions { versions: Vec::new() },
        KnowledgeJob::Rollback { .. } => Event::Failed(Failure::new(ErrorCode::NotFound, "there is no such version")),
        KnowledgeJob::Unanswered | KnowledgeJob::Dismiss { .. } => Event::Unanswered { questions: Vec::new() },
        other => panic!("this worker does not know {other:?}"),
    }
}

fn report(ingest: IngestId, state: IngestState, documents: Vec<DocumentOutcome>) -> IngestReport {
    let version = (state == IngestState::Published).then_some(KnowledgeVersion(1));
    let counts = IngestCounts { added: documents.len() as u32, ..IngestCounts::default() };
    IngestReport { ingest, state, version, counts, documents, next: None, begun: Timestamp(1) }
}

fn outcome(name: String, bytes: u64) -> DocumentOutcome {
    let document = DocumentId::parse(name.as_str()).unwrap();
    let (outcome, passages, warnings) = (Outcome::Added, 1, Vec::new());
    DocumentOutcome { name, document, outcome, passages, bytes, warnings, failure: None }
}
