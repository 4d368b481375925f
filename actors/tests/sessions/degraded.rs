//! What a customer gets while the model, or retrieval, is slow or gone.

use crate::support::{CURATED, Step, System, collect, eventually, failed, finished, message, tenant, text_of};
use actors::{Completion, Config};
use protocol::{ChatMessage, ErrorCode, Format, Role, SessionId, Submit, TurnEvent};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PASSWORD: &str = "How do I reset my password?";
const OTHER: &str = "Do you sell yellow umbrellas in Madrid?";

fn impatient() -> Config {
    Config {
        first_token_deadline_ms: 200,
        breaker_queue_wait_ms: 100,
        breaker_first_token_ms: 100,
        breaker_open_ms: 400,
        publish_window: 0,
        ..Config::default()
    }
}

/// A system whose engine hangs while the flag is set.
async fn hanging() -> (System, Arc<AtomicBool>) {
    let hangs = Arc::new(AtomicBool::new(true));
    let flag = hangs.clone();
    let script = move |_: &_, _| match flag.load(Ordering::SeqCst) {
        true => vec![Step::AwaitCancel],
        false => vec![Step::Say("Press reset [1].")],
    };
    (System::start(impatient(), script).await, hangs)
}

/// The answer's text and how many passages it cites, if it is a degraded one.
fn degraded(events: &[(u64, TurnEvent)]) -> Option<(&str, usize)> {
    match &events.last().expect("events").1 {
        TurnEvent::Finished { text, citations, degraded: true, .. } => {
            assert_eq!(text_of(events), *text, "it is streamed like any other");
            Some((text, citations.len()))
        }
        _ => None,
    }
}

impl System {
    async fn events(&self, session: &SessionId, text: &str) -> Vec<(u64, TurnEvent)> {
        collect(self.say(session, text).await).await
    }

    fn asked(&self) -> usize {
        self.worker.jobs.lock().unwrap().len()
    }

    /// Five turns that wait in vain, at the same time.
    async fn fail_five(&self) {
        let mut streams = Vec::new();
        for _ in 0..5 {
            let session = self.session().await;
            streams.push(self.say(&session, OTHER).await);
        }
        for stream in streams {
            assert!(degraded(&collect(stream).await).is_some());
        }
    }
}

#[tokio::test]
async fn an_engine_that_hangs_is_left_alone_until_probes_show_that_it_works() {
    let (system, hangs) = hanging().await;
    system.fail_five().await;
    eventually("the jobs are cancelled", || system.worker.cancelled.lock().unwrap().len() == 5).await;
    let session = system.session().await;
    let events = system.events(&session, PASSWORD).await;
    assert_eq!(degraded(&events), Some((CURATED, 1)), "the curated answer and where it is from");
    let (text, cited) = degraded(&system.events(&session, OTHER).await).map(|(t, n)| (t.to_string(), n)).unwrap();
    assert!(text.contains("connect you with a person") && cited == 0, "{text}");
    assert_eq!((system.asked(), system.worker.cancelled.lock().unwrap().len()), (5, 5), "the engine had its peace");

    hangs.store(false, Ordering::SeqCst);
    let mut answered = 0;
    for _ in 0..200 {
        answered += usize::from(degraded(&system.events(&session, OTHER).await).is_none());
        if answered == 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((answered, system.asked()), (6, 11), "three probes, then everybody");
}

#[tokio::test]
async fn a_degraded_answer_is_kept_and_repeated_as_such_and_an_apology_is_not_shown_to_the_model() {
    let (system, hangs) = hanging().await;
    let session = system.session().await;
    let acme = tenant();
    let submit = || system.registry.submit(&acme, &session, message(OTHER, Some("m1")));
    let first = collect(submit().await.unwrap()).await;
    let again = collect(submit().await.unwrap()).await;
    assert_eq!((again.last(), degraded(&again).is_some()), (first.last(), true));
    assert_eq!(degraded(&system.events(&session, PASSWORD).await), Some((CURATED, 1)));
    let view = system.registry.view(&acme, &session).await.unwrap();
    assert!(view.messages[1].turn.as_ref().unwrap().degraded && view.messages.len() == 4);
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(finished(&system.events(&session, "And now?").await).0, "Press reset [1].");
    let jobs = system.worker.jobs.lock().unwrap();
    let said: Vec<&str> = jobs.last().unwrap().body.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(said[1..3], [PASSWORD, CURATED]);
}

#[tokio::test]
async fn without_retrieval_nobody_waits_for_it_and_the_model_is_not_asked() {
    let system = System::start(impatient(), |_, _| vec![Step::Say("I made it up.")]).await;
    system.worker.is_blind.store(true, Ordering::SeqCst);
    let session = system.session().await;
    for _ in 0..7 {
        let events = system.events(&session, "如何重置密码?").await;
        let (text, cited) = degraded(&events).unwrap();
        assert!(text.contains("转接人工客服") && cited == 0, "{text}");
        assert_eq!(events[0].1, TurnEvent::Retrieved { citations: vec![] });
    }
    assert_eq!((system.worker.queries.lock().unwrap().len(), system.asked()), (5, 0));
    system.worker.is_blind.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(finished(&system.events(&session, PASSWORD).await).0, "I made it up.");
}

#[tokio::test]
async fn a_retrieval_worker_that_is_not_there_costs_a_turn_its_deadline_at_most() {
    let broker = runtime::broker::connect("memory:", Duration::from_secs(1)).await.unwrap();
    let config = Config { retrieval_deadline_ms: 100, ..Config::default() };
    let store = crate::support::memory_store(&config).await;
    let registry = crate::support::node("node-1", &broker, &store, &config).await;
    let session = registry.create(&tenant()).await.unwrap().id;
    let events = collect(registry.submit(&tenant(), &session, message("How?", None)).await.unwrap()).await;
    assert!(degraded(&events).is_some());
    assert_eq!(broker.depth("q.inference").await.unwrap(), 0);
}

#[tokio::test]
async fn a_deadline_of_the_client_s_own_is_kept() {
    let system = System::start(Config::default(), |_, _| vec![Step::AwaitCancel]).await;
    let session = system.session().await;
    let asked = Submit { deadline_ms: Some(300), ..message(PASSWORD, None) };
    let stream = system.registry.submit(&tenant(), &session, asked.clone()).await.unwrap();
    assert_eq!(degraded(&collect(stream).await), Some((CURATED, 1)));
    let job = system.worker.jobs.lock().unwrap()[0].clone();
    assert!(job.deadline.0 - job.published.0 <= 300, "the worker knows it, too");
    let none = Submit { deadline_ms: Some(0), ..asked };
    let refused = system.registry.submit(&tenant(), &session, none).await.unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("deadline_ms"));
}

#[tokio::test]
async fn a_client_of_the_model_itself_is_refused_while_the_engine_fails() {
    let system = System::start(impatient(), |_, _| vec![Step::Fail]).await;
    let messages = vec![ChatMessage::new(Role::User, PASSWORD)];
    let bare = Completion { messages, ..Completion::default() };
    let acme = tenant();
    let call = async |asked: &Completion| collect(system.registry.complete(&acme, asked.clone()).await.unwrap()).await;
    for _ in 0..5 {
        assert_eq!(failed(&call(&bare).await), ErrorCode::EngineFailed);
    }
    assert_eq!((failed(&call(&bare).await), system.asked()), (ErrorCode::Overloaded, 5));
    let assistant = Completion { knowledge: true, ..bare };
    assert_eq!(degraded(&call(&assistant).await), Some((CURATED, 1)));
    let mut json = assistant;
    json.sampling.format = Format::JsonObject;
    assert_eq!(failed(&call(&json).await), ErrorCode::Overloaded, "a text is no JSON");
}
