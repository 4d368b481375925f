//! A session goes back to the worker that knows it.

use crate::support::{Step, System, collect, finished, message, node, tenant};
use actors::{Completion, Config, Registry};
use protocol::{ChatMessage, Role, SessionId};
use std::sync::atomic::Ordering;

async fn ask(registry: &Registry, session: &SessionId) {
    let stream = registry.submit(&tenant(), session, message("And now?", None)).await.unwrap();
    assert_eq!(finished(&collect(stream).await).0, "Yes.");
}

#[tokio::test]
async fn later_turns_go_to_the_worker_of_the_first_and_to_anybody_once_it_left() {
    let system = System::start(Config::default(), |_, _| vec![Step::Say("Yes.")]).await;
    let (own, [leave, left]) = system.worker.own().await;
    let session = system.session().await;
    ask(&system.registry, &session).await;
    assert_eq!(own.load(Ordering::SeqCst), 0, "nobody knows it yet");
    ask(&system.registry, &session).await;
    assert_eq!(own.load(Ordering::SeqCst), 1);

    drop(system.registry);
    let other = node("node-2", &system.broker, &system.store, &system.config).await;
    ask(&other, &session).await;
    assert_eq!(own.load(Ordering::SeqCst), 2, "another node reads it from the store");

    leave.cancel();
    left.cancelled().await;
    ask(&other, &session).await;
    assert_eq!((own.load(Ordering::SeqCst), system.worker.jobs.lock().unwrap().len()), (2, 4));
}

#[tokio::test]
async fn affinity_can_be_switched_off() {
    let config = Config { affinity_ms: 0, ..Config::default() };
    let system = System::start(config, |_, _| vec![Step::Say("Yes.")]).await;
    let (own, _leave) = system.worker.own().await;
    let session = system.session().await;
    ask(&system.registry, &session).await;
    ask(&system.registry, &session).await;
    assert_eq!((own.load(Ordering::SeqCst), system.worker.jobs.lock().unwrap().len()), (0, 2));
}

#[tokio::test]
async fn a_stateless_call_goes_where_the_one_went_that_it_continues() {
    let system = System::start(Config::default(), |_, _| vec![Step::Say("Yes.")]).await;
    let (own, _leave) = system.worker.own().await;
    let mut messages = vec![ChatMessage::new(Role::User, "Is it open?")];
    for expected in [0, 0, 1] {
        let completion = Completion { messages: messages.clone(), ..Completion::default() };
        let stream = system.registry.complete(&tenant(), completion).await.unwrap();
        assert_eq!(finished(&collect(stream).await).0, "Yes.");
        assert_eq!(own.load(Ordering::SeqCst), expected);
        if expected == 0 && system.worker.jobs.lock().unwrap().len() == 2 {
            messages.extend([ChatMessage::new(Role::Assistant, "Yes."), ChatMessage::new(Role::User, "Until when?")]);
        }
    }
}
