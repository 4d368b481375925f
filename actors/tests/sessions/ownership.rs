//! Several nodes: who owns a session, who answers for it, and what becomes of it when its owner is gone.

use crate::support::{Step, System, collect, eventually, finished, message, node, tenant, text_of};
use actors::{
    Config, Registry,
    store::{Claim, Member, SessionKey},
};
use protocol::{ErrorCode, FinishReason, InferenceJob, NodeId, SessionId, TurnEvent};
use std::time::Duration;

/// Leases are short, so that tests are.
fn config() -> Config {
    Config { lease_ms: 600, ..Config::default() }
}

fn halves(job: &InferenceJob, _: u32) -> Vec<Step> {
    match job.prefix.as_str() {
        "" => vec![Step::Say("first "), Step::AwaitCancel],
        "first " => vec![Step::Say("second")],
        other => panic!("{other}"),
    }
}

fn whole(_: &InferenceJob, _: u32) -> Vec<Step> {
    vec![Step::Say("Yes.")]
}

async fn second_node(system: &System) -> Registry {
    node("node-2", &system.broker, &system.store, &system.config).await
}

async fn until_token(stream: &mut actors::TurnStream) {
    while !matches!(stream.next().await, Some((_, TurnEvent::Token { .. }))) {}
}

/// Another member takes the session, as if its owner had died.
async fn steal(system: &System, session: &SessionId) -> Member {
    let thief = Member::new(NodeId::parse("thief").unwrap());
    let owner = Member::new(NodeId::parse("node-1").unwrap());
    system.store.join(&thief, Duration::from_secs(60)).await.unwrap();
    let claimed = system.store.claim(&SessionKey::new(&tenant(), session), &thief, Some(&owner)).await.unwrap();
    assert!(matches!(claimed, Some(Claim::Owned(_))), "{claimed:?}");
    thief
}

#[tokio::test]
async fn a_request_at_another_node_reaches_the_owner() {
    let system = System::start(config(), whole).await;
    let other = second_node(&system).await;
    let session = system.session().await;
    finished(&collect(system.say(&session, "one").await).await);
    let events = collect(other.submit(&tenant(), &session, message("two", Some("m2"))).await.unwrap()).await;
    assert_eq!(finished(&events), ("Yes.".into(), FinishReason::Stop));
    let seqs: Vec<u64> = events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [0, 1, 2]);
    let again = other.submit(&tenant(), &session, message("two", Some("m2"))).await.unwrap();
    let turn = again.job().clone();
    assert_eq!(collect(again).await[1..], events[1..]);
    assert_eq!(collect(other.follow(&tenant(), &session, &turn, 1).await.unwrap()).await, events[1..]);
    let view = other.view(&tenant(), &session).await.unwrap();
    assert_eq!(view.messages.len(), 4);
    let bad = other.submit(&tenant(), &session, message("three", Some("m2"))).await.unwrap_err();
    assert_eq!(bad.code, ErrorCode::InvalidRequest, "a refusal comes back, too");
    other.delete(&tenant(), &session).await.unwrap();
    let gone = system.registry.submit(&tenant(), &session, message("four", None)).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::SessionNotFound);
}

#[tokio::test]
async fn a_reader_at_another_node_who_leaves_frees_the_worker_and_one_who_stops_stops() {
    let system = System::start(Config { abandon_grace_ms: 50, ..config() }, halves).await;
    let other = second_node(&system).await;
    let session = system.session().await;
    system.registry.stop(&tenant(), &session, None).await.unwrap();
    let mut stream = other.submit(&tenant(), &session, message("one", Some("m1"))).await.unwrap();
    until_token(&mut stream).await;
    drop(stream);
    eventually("the job is cancelled", || system.worker.cancelled.lock().unwrap().len() == 1).await;
    let events = collect(other.submit(&tenant(), &session, message("one", Some("m1"))).await.unwrap()).await;
    assert_eq!((finished(&events).0.as_str(), text_of(&events).as_str()), ("first second", "first second"));

    let session = system.session().await;
    system.registry.stop(&tenant(), &session, None).await.unwrap();
    let mut stream = other.submit(&tenant(), &session, message("one", None)).await.unwrap();
    until_token(&mut stream).await;
    other.stop(&tenant(), &session, None).await.unwrap();
    assert_eq!(finished(&collect(stream).await), ("first ".into(), FinishReason::Cancelled));
}

#[tokio::test]
async fn a_turn_goes_on_at_another_node_when_its_own_stops() {
    let system = System::start(config(), halves).await;
    let other = second_node(&system).await;
    let session = system.session().await;
    let mut here = system.say(&session, "one").await;
    until_token(&mut here).await;
    let turn = here.job().clone();
    let there = other.follow(&tenant(), &session, &turn, 0).await.unwrap();
    system.registry.drain(Duration::from_millis(20)).await;
    assert_eq!(here.next().await, None, "the reader learns that it is to come back");
    let events = collect(there).await;
    assert_eq!((finished(&events).0.as_str(), text_of(&events).as_str()), ("first second", "first second"));
    let seqs: Vec<u64> = events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
    assert_eq!(other.view(&tenant(), &session).await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn an_owner_that_was_overtaken_shows_and_stores_nothing_more() {
    let system = System::start(config(), halves).await;
    let session = system.session().await;
    let mut stream = system.say(&session, "one").await;
    until_token(&mut stream).await;
    let thief = steal(&system, &session).await;
    system.registry.stop(&tenant(), &session, None).await.unwrap();
    assert_eq!(stream.next().await, None, "neither finished nor failed");
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    assert_eq!((view.messages.len(), view.unanswered.len()), (0, 1));
    // Once the thief is dead, the message is answered, though nobody asks.
    system.store.leave(&thief).await.unwrap();
    until_answered(&system, &session).await;
}

#[tokio::test]
async fn a_node_that_never_heard_that_its_claim_succeeded_answers_though_nobody_asks() {
    let system = System::start(config(), halves).await;
    let session = system.session().await;
    let mut stream = system.say(&session, "one").await;
    until_token(&mut stream).await;
    let thief = steal(&system, &session).await;
    system.registry.stop(&tenant(), &session, None).await.unwrap();
    assert_eq!(stream.next().await, None);
    let me = Member::new(NodeId::parse("node-1").unwrap());
    let claimed = system.store.claim(&SessionKey::new(&tenant(), &session), &me, Some(&thief)).await.unwrap();
    assert!(matches!(claimed, Some(Claim::Owned(_))), "{claimed:?}");
    until_answered(&system, &session).await;
}

async fn until_answered(system: &System, session: &SessionId) {
    for _ in 0..200 {
        if !system.registry.view(&tenant(), session).await.unwrap().messages.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let view = system.registry.view(&tenant(), session).await.unwrap();
    assert_eq!((view.messages.len(), view.unanswered.len()), (2, 0));
    assert_eq!(view.messages[1].content, "first second");
}

#[tokio::test]
async fn a_node_that_lost_its_lease_gives_its_sessions_up_and_begins_anew() {
    let system = System::start(config(), halves).await;
    let session = system.session().await;
    let mut stream = system.say(&session, "one").await;
    until_token(&mut stream).await;
    system.store.leave(&Member::new(NodeId::parse("node-1").unwrap())).await.unwrap();
    assert_eq!(collect(stream.clone()).await, []);
    let events = collect(system.registry.follow(&tenant(), &session, stream.job(), 0).await.unwrap()).await;
    assert_eq!(finished(&events).0, "first second");
}
