//! Every message's wire form. A changed file is a changed protocol: keep reading what older builds wrote.
//!
//! `UPDATE_GOLDEN=1 cargo test -p protocol` writes the files anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use protocol::{
    Aside, Cancel, ChatMessage, Citation, ClientMessageId, ContentHash, DocumentFormat, DocumentId, DocumentInfo,
    DocumentOutcome, DocumentReport, Envelope, ErrorCode, Event, Failure, FaqMatch, FinishReason, Format, InferenceJob,
    IngestCounts, IngestId, IngestReport, IngestState, JobId, KnowledgeJob, KnowledgeNews, KnowledgeVersion, Lang,
    Logprob, NodeId, Origin, Original, Outcome, Passage, PeerAsk, PeerCall, PeerMessage, PeerNews, PeerWord, Priority,
    QuantizedVector, Reply, RetrievalJob, Retrieved, Role, Sampling, SessionId, Submit, TenantId, Timestamp,
    TokenLogprob, Tool, ToolCall, ToolCallDelta, ToolChoice, Tools, TurnEvent, UnansweredQuestion, Usage, VersionInfo,
    WorkerId,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{fmt::Debug, path::PathBuf};

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let written = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &written).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert_eq!(written, golden, "{name} is written differently");
    assert_eq!(&serde_json::from_str::<T>(&golden).unwrap(), value, "{name} is read differently");
}

fn envelope<B>(body: B) -> Envelope<B> {
    Envelope {
        v: Envelope::<B>::VERSION,
        tenant: TenantId::parse("demo").unwrap(),
        job: job(),
        reply_to: "replies.node-1".into(),
        deadline: Timestamp(1_800_000_060_000),
        published: Timestamp(1_800_000_000_000),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        body,
    }
}

fn job() -> JobId {
    JobId::parse("job_1").unwrap()
}

fn document() -> DocumentId {
    DocumentId::parse("doc-1").unwrap()
}

fn info() -> DocumentInfo {
    DocumentInfo {
        id: document(),
        name: "returns.md".into(),
        title: "Returns".into(),
        format: DocumentFormat::Markdown,
        passages: 3,
        bytes: 1200,
    }
}

fn citation() -> Citation {
    Citation { number: 1, document: document(), title: "Returns".into(), passage: "30 days".into(), score: 0.5 }
}

#[test]
fn jobs() {
    let schema = serde_json::json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "null"}}});
    let sampling = Sampling {
        max_tokens: 512,
        temperature: 0.5,
        top_p: 0.75,
        top_k: 40,
        min_p: 0.125,
        repetition_penalty: 1.25,
        presence_penalty: 0.5,
        frequency_penalty: -0.5,
        logit_bias: [(9, -100.0)].into(),
        seed: 7,
        stop: vec!["\n\n".into()],
        ignore_eos: true,
        logprobs: Some(2),
        format: Format::JsonSchema { schema },
    };
    let messages = vec![ChatMessage::new(Role::System, "Be brief."), ChatMessage::new(Role::User, "如何退货?")];
    let plain = InferenceJob {
        messages,
        prefix: "You".into(),
        sampling,
        priority: Priority::Batch,
        weight: 3,
        tools: Tools::default(),
        thinking: None,
    };
    check("inference_job", &envelope(plain.clone()));
    let called = ChatMessage {
        reasoning: "The weather.".into(),
        tool_calls: vec![call()],
        ..ChatMessage::new(Role::Assistant, "")
    };
    let result = ChatMessage { tool_call_id: Some("call_1".into()), ..ChatMessage::new(Role::Tool, "18 °C") };
    // The keys of a schema are not sorted.
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let weather = Tool { name: "weather".into(), description: "Tells the weather.".into(), parameters };
    let choice = ToolChoice::Named("weather".into());
    let tools = Tools { offered: vec![weather], choice, single: true };
    let messages = vec![called, result];
    check("inference_job_tools", &envelope(InferenceJob { messages, tools, thinking: Some(false), ..plain }));
    check("retrieval_job", &envelope(RetrievalJob::new("如何退货?", Lang::zh(), 5)));
    let put = KnowledgeJob::Put {
        name: "returns.md".into(),
        format: DocumentFormat::Markdown,
        content: "# Returns\n".into(),
    };
    check("knowledge_job_put", &envelope(put));
    check("knowledge_job_delete", &envelope(KnowledgeJob::Delete { document: document() }));
    check("knowledge_job_list", &envelope(KnowledgeJob::List));
    knowledge_jobs();
    check("cancel", &Cancel { job: job() });
}

fn ingest() -> IngestId {
    IngestId::parse("ing_1").unwrap()
}

fn knowledge_jobs() {
    let original = Original { hash: ContentHash::parse("ab".repeat(32)).unwrap(), bytes: 9 };
    let (name, format) = ("returns.pdf".into(), DocumentFormat::Pdf);
    let jobs = [
        KnowledgeJob::Add { name, format, original, ingest: Some(ingest()) },
        KnowledgeJob::Begin { ingest: ingest() },
        KnowledgeJob::Publish { ingest: ingest(), remove_others: true },
        KnowledgeJob::Abort { ingest: ingest() },
        KnowledgeJob::Progress { ingest: ingest(), after: Some("a.md".into()) },
        KnowledgeJob::Versions,
        KnowledgeJob::Rollback { to: Some(KnowledgeVersion(2)) },
        KnowledgeJob::Rebuild,
        KnowledgeJob::Unanswered,
        KnowledgeJob::Dismiss { until: Timestamp(1_000) },
    ];
    check("knowledge_jobs", &jobs.map(envelope).to_vec());
    let news = KnowledgeNews { tenant: TenantId::parse("demo").unwrap(), version: KnowledgeVersion(3) };
    check("knowledge_news", &news);
}

fn knowledge_outcomes() -> Vec<Event> {
    let outcome = DocumentOutcome {
        name: "returns.pdf".into(),
        document: document(),
        outcome: Outcome::Failed,
        passages: 0,
        bytes: 9,
        warnings: vec!["page 3 is empty".into()],
        failure: Some(Failure::new(ErrorCode::UnreadableDocument, "it is encrypted")),
    };
    let report = IngestReport {
        ingest: ingest(),
        state: IngestState::Open,
        version: Some(KnowledgeVersion(3)),
        counts: IngestCounts { failed: 1, ..IngestCounts::default() },
        documents: vec![outcome],
        next: Some("returns.pdf".into()),
        begun: Timestamp(1_000),
    };
    let version = VersionInfo {
        version: KnowledgeVersion(3),
        base: KnowledgeVersion(2),
        published: Timestamp(1_000),
        embedder: "bge:1".into(),
        documents: 2,
        passages: 9,
        served: true,
    };
    let question = UnansweredQuestion {
        question: "Do you sell bicycles?".into(),
        lang: Lang::en(),
        count: 2,
        last: Timestamp(1_000),
        confidence: 0.25,
        wordings: vec!["Any bikes?".into()],
    };
    vec![
        Event::Ingest(report),
        Event::Versions { versions: vec![version] },
        Event::Unanswered { questions: vec![question] },
    ]
}

fn call() -> ToolCall {
    ToolCall { id: "call_1".into(), name: "weather".into(), arguments: "{\"city\": \"Bern\"}".into() }
}

fn first_piece() -> ToolCallDelta {
    ToolCallDelta { index: 0, id: Some("call_1".into()), name: Some("weather".into()), arguments: "{".into() }
}

#[test]
fn sampling_of_a_build_without_penalties_is_read() {
    let old = r#"{"max_tokens":9,"temperature":0.5,"top_p":0.75,"seed":7}"#;
    let read: Sampling = serde_json::from_str(old).unwrap();
    assert_eq!(read, Sampling { max_tokens: 9, temperature: 0.5, top_p: 0.75, seed: 7, ..Sampling::default() });
    assert_eq!(serde_json::to_string(&read).unwrap(), old);
}

fn logprob(bytes: &[u8], logprob: f32) -> TokenLogprob {
    TokenLogprob { chosen: Logprob::of_bytes(bytes, logprob), top: vec![Logprob::of_bytes(b"a", f32::NEG_INFINITY)] }
}

#[test]
fn replies() {
    let started =
        Event::Started { worker: WorkerId::parse("worker-1").unwrap(), model: "qwen".into(), prompt_tokens: 9 };
    let usage = Usage { prompt_tokens: 9, completion_tokens: 2 };
    let events = vec![
        started,
        Event::token("退货", 2),
        Event::Token {
            text: "换".into(),
            tokens: 2,
            logprobs: vec![logprob(&[0xe6, 0x8d], -0.5), logprob(&[0xa2], 0.0)],
        },
        Event::Finished { reason: FinishReason::Stop, usage },
    ];
    check("reply_stream", &Reply { job: job(), attempt: 1, delivery: 7, seq: 0, events });
    let calls = vec![first_piece(), ToolCallDelta { arguments: "}".into(), ..ToolCallDelta::default() }];
    let raw = "<think>Hm</think><tool_call>{\"name\": \"weather\", \"arguments\": {}".into();
    let events = vec![
        Event::Aside(Aside { raw, reasoning: "Hm".into(), calls, tokens: 9 }),
        Event::Finished { reason: FinishReason::ToolCalls, usage },
    ];
    check("reply_tool_calls", &Reply { job: job(), attempt: 0, delivery: 7, seq: 1, events });
    let passage =
        Passage { document: document(), chunk: 0, title: "Returns".into(), text: "30 days".into(), score: 0.5 };
    let faq = FaqMatch {
        document: document(),
        chunk: 4,
        question: "How long?".into(),
        answer: "30 days".into(),
        score: 0.875,
        confidence: 0.5,
    };
    let retrieved = Retrieved {
        passages: vec![passage],
        faq: Some(faq),
        version: KnowledgeVersion(3),
        confidence: Some(0.75),
        vector: Some(QuantizedVector::of(&[0.6, -0.8])),
    };
    check(
        "reply_retrieved",
        &Reply { job: job(), attempt: 0, delivery: 0, seq: 0, events: vec![Event::Retrieved(retrieved)] },
    );
    let report = DocumentReport { document: info(), replaced: true, warnings: vec!["line 3: no answer".into()] };
    let events = vec![
        Event::Ingested(report),
        Event::Deleted,
        Event::Documents { documents: vec![info()] },
        Event::Failed(Failure::invalid("name", "name must not be empty")),
    ];
    let outcomes = Reply { job: job(), attempt: 0, delivery: 0, seq: 0, events: knowledge_outcomes() };
    check("reply_knowledge_outcomes", &outcomes);
    check("reply_knowledge", &Reply { job: job(), attempt: 0, delivery: 0, seq: 0, events });
}

#[test]
fn a_reply_of_a_build_without_delivery_numbers_is_read() {
    let old = r#"{"job":"job_1","attempt":2,"seq":3,"events":[]}"#;
    let read: Reply = serde_json::from_str(old).unwrap();
    assert_eq!(read, Reply { job: job(), attempt: 2, delivery: 0, seq: 3, events: Vec::new() });
}

#[test]
fn turn() {
    let client_message_id = Some(ClientMessageId::parse("m-1").unwrap());
    let plain = Submit {
        content: "如何退货?".into(),
        client_message_id,
        lang: Some(Lang::zh()),
        replace: false,
        deadline_ms: None,
    };
    check("submit", &plain);
    check("submit_replace", &Submit { replace: true, deadline_ms: Some(10_000), ..plain });
    let usage = Usage { prompt_tokens: 9, completion_tokens: 2 };
    let finished = TurnEvent::Finished {
        text: "30 days [1]".into(),
        finish_reason: FinishReason::Stop,
        usage,
        citations: vec![citation()],
        reasoning: String::new(),
        tool_calls: Vec::new(),
        degraded: false,
        origin: Origin::Model,
    };
    let called = TurnEvent::Finished {
        text: String::new(),
        finish_reason: FinishReason::ToolCalls,
        usage,
        citations: Vec::new(),
        reasoning: "Hm".into(),
        tool_calls: vec![call()],
        degraded: false,
        origin: Origin::Model,
    };
    let sorry = TurnEvent::Finished {
        text: "Sorry".into(),
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        citations: Vec::new(),
        reasoning: String::new(),
        tool_calls: Vec::new(),
        degraded: true,
        origin: Origin::Faq,
    };
    let events = vec![
        TurnEvent::Retrieved { citations: vec![citation()] },
        TurnEvent::token("30"),
        finished,
        TurnEvent::Aside { reasoning: "Hm".into(), calls: vec![first_piece()] },
        called,
        sorry,
        TurnEvent::Failed(Failure::new(ErrorCode::DeadlineExceeded, "No answer within 60 s.")),
    ];
    check("turn_events", &events);
}

#[test]
fn peers() {
    let [tenant, session] = ["demo", "ses_1"];
    let call = |ask| {
        PeerMessage::Call(PeerCall {
            id: job(),
            from: NodeId::parse("node-1").unwrap(),
            tenant: TenantId::parse(tenant).unwrap(),
            session: SessionId::parse(session).unwrap(),
            traceparent: None,
            ask,
        })
    };
    let submit =
        Submit { content: "Hi".into(), client_message_id: None, lang: None, replace: false, deadline_ms: None };
    let calls = [
        PeerAsk::Submit(submit),
        PeerAsk::Follow { turn: job(), from: 7 },
        PeerAsk::Stop { turn: None },
        PeerAsk::Delete,
        PeerAsk::Leave,
    ];
    check("peer_calls", &calls.map(call).to_vec());
    let words = [
        PeerWord::Turn { turn: job() },
        PeerWord::Events { events: vec![(1, TurnEvent::token("30"))] },
        PeerWord::Alive,
        PeerWord::Done,
        PeerWord::Refused(Failure::new(ErrorCode::SessionNotFound, "no such session")),
        PeerWord::Moved,
    ];
    let news = |(seq, word)| PeerMessage::News(PeerNews { id: job(), seq, word });
    check("peer_news", &(0..).zip(words).map(news).collect::<Vec<_>>());
}

#[test]
fn every_error_code_is_listed() {
    let table: Vec<_> = ErrorCode::ALL.iter().map(|code| (code.name(), code.status(), code.is_retryable())).collect();
    let rows = serde_json::to_value(&table).unwrap();
    check("error_codes", &rows);
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
    }
}
