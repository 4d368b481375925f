//! How sessions come, sleep, wake, move and go.

use crate::support::{Step, System, collect, eventually, failed, finished, message, node, tenant};
use actors::{Config, store::SessionKey};
use protocol::{
    DocumentFormat, DocumentId, ErrorCode, Event, InferenceJob, KnowledgeJob, SessionId, TenantId, TurnEvent,
};
use std::time::Duration;

fn answer(_: &InferenceJob, _: u32) -> Vec<Step> {
    vec![Step::Say("Yes.")]
}

fn endless(_: &InferenceJob, _: u32) -> Vec<Step> {
    vec![Step::Say("Well"), Step::AwaitCancel]
}

#[tokio::test]
async fn an_idle_session_leaves_memory_and_wakes_with_its_context() {
    let config = Config { idle_ms: 30, ..Config::default() };
    let system = System::start(config, answer).await;
    let session = system.session().await;
    for n in 0..5 {
        finished(&collect(system.say(&session, &format!("question {n}")).await).await);
        // Around the idle time, so that some messages meet an actor that is just leaving.
        tokio::time::sleep(Duration::from_millis(25 + 4 * n)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(system.registry.view(&tenant(), &session).await.unwrap().messages.len(), 10);
    let jobs = system.worker.jobs.lock().unwrap();
    assert_eq!(jobs[4].body.messages.len(), 10, "system, four turns and the question");
}

#[tokio::test]
async fn requests_that_race_with_passivation_are_all_served() {
    let config = Config { idle_ms: 10, pending_messages: 1000, ..Config::default() };
    let system = System::start(config, answer).await;
    let session = system.session().await;
    for round in 0..60 {
        tokio::time::sleep(Duration::from_millis(8 + round % 6)).await;
        let acme = tenant();
        let view = system.registry.view(&acme, &session);
        let submit = system.registry.submit(&acme, &session, message("Hello?", None));
        let (view, stream) = tokio::join!(view, submit);
        assert_eq!(view.unwrap().id, session);
        finished(&collect(stream.unwrap()).await);
    }
    assert_eq!(system.registry.view(&tenant(), &session).await.unwrap().messages.len(), 120);
}

#[tokio::test]
async fn another_node_goes_on_where_the_first_one_ended() {
    let system = System::start(Config::default(), answer).await;
    let session = system.session().await;
    collect(system.say(&session, "first").await).await;
    system.registry.drain(Duration::from_secs(1)).await;
    let successor = node("node-2", &system.broker, &system.store, &system.config).await;
    let stream = successor.submit(&tenant(), &session, message("second", None)).await.unwrap();
    finished(&collect(stream).await);
    assert_eq!(successor.view(&tenant(), &session).await.unwrap().messages.len(), 4);
}

#[tokio::test]
async fn a_session_is_unknown_to_another_tenant_and_after_its_deletion() {
    let system = System::start(Config::default(), answer).await;
    let session = system.session().await;
    let stranger = TenantId::parse("other").unwrap();
    let not_found = |code: Option<ErrorCode>| assert_eq!(code, Some(ErrorCode::SessionNotFound));
    let registry = &system.registry;
    not_found(registry.view(&stranger, &session).await.err().map(|f| f.code));
    not_found(registry.submit(&stranger, &session, message("hi", None)).await.err().map(|f| f.code));
    not_found(registry.stop(&stranger, &session, None).await.err().map(|f| f.code));
    not_found(registry.delete(&stranger, &session).await.err().map(|f| f.code));
    not_found(registry.view(&tenant(), &SessionId::parse("ses_unknown").unwrap()).await.err().map(|f| f.code));
    finished(&collect(system.say(&session, "hi").await).await);
    registry.delete(&tenant(), &session).await.unwrap();
    not_found(registry.view(&tenant(), &session).await.err().map(|f| f.code));
    not_found(registry.delete(&tenant(), &session).await.err().map(|f| f.code));
    assert_eq!(system.store.load(&SessionKey::new(&tenant(), &session)).await.unwrap(), None);
}

#[tokio::test]
async fn deleting_a_session_ends_its_turns() {
    let system = System::start(Config::default(), endless).await;
    let session = system.session().await;
    let (running, waiting) = (system.say(&session, "one").await, system.say(&session, "two").await);
    eventually("the first is generated", || system.worker.jobs.lock().unwrap().len() == 1).await;
    system.registry.delete(&tenant(), &session).await.unwrap();
    for stream in [running, waiting] {
        assert_eq!(failed(&collect(stream).await), ErrorCode::SessionNotFound);
    }
    eventually("the job is cancelled", || system.worker.cancelled.lock().unwrap().len() == 1).await;
}

#[tokio::test]
async fn draining_awaits_running_turns_and_refuses_new_ones() {
    let system = System::start(Config::default(), endless).await;
    let session = system.session().await;
    let mut stream = system.say(&session, "one").await;
    while !matches!(stream.next().await, Some((_, TurnEvent::Token { .. }))) {}
    let registry = system.registry.clone();
    let drained = tokio::spawn(async move { registry.drain(Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = system.registry.submit(&tenant(), &session, message("two", None)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(system.registry.create(&tenant()).await.unwrap_err().code, ErrorCode::Unavailable);
    assert!(!drained.is_finished());
    system.registry.stop(&tenant(), &session, None).await.unwrap();
    finished(&collect(stream).await);
    drained.await.unwrap();
    assert_eq!(system.registry.view(&tenant(), &session).await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn draining_past_its_grace_leaves_what_still_runs_to_other_nodes() {
    let system = System::start(Config::default(), endless).await;
    let session = system.session().await;
    let stream = system.say(&session, "one").await;
    eventually("it is generated", || system.worker.jobs.lock().unwrap().len() == 1).await;
    system.registry.drain(Duration::from_millis(50)).await;
    let events = collect(stream).await;
    assert!(!events.last().unwrap().1.is_last(), "{events:?}");
    assert_eq!(system.registry.view(&tenant(), &session).await.unwrap().unanswered[0].content, "one");
    eventually("the job is cancelled", || system.worker.cancelled.lock().unwrap().len() == 1).await;
}

#[tokio::test]
async fn dropping_the_registry_ends_its_turns() {
    let system = System::start(Config::default(), endless).await;
    let session = system.session().await;
    let stream = system.say(&session, "one").await;
    drop(system);
    assert_eq!(failed(&collect(stream).await), ErrorCode::Unavailable);
}

#[tokio::test]
async fn jobs_on_documents_are_answered() {
    let system = System::start(Config::default(), answer).await;
    let ask = |job| async { system.registry.knowledge(&tenant(), job).await };
    let put = KnowledgeJob::Put { name: "faq.md".into(), format: DocumentFormat::Markdown, content: "# FAQ".into() };
    assert!(matches!(ask(put).await, Ok(Event::Ingested(report)) if report.document.name == "faq.md"));
    assert!(matches!(ask(KnowledgeJob::List).await, Ok(Event::Documents { .. })));
    let delete = KnowledgeJob::Delete { document: DocumentId::parse("d").unwrap() };
    assert_eq!(ask(delete).await.unwrap_err().code, ErrorCode::DocumentNotFound);
}
