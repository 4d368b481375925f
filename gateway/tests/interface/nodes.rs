//! Turns that move from node to node while they are read.

use crate::{
    sockets::Client,
    sse::{Event, Reader},
    stage::{SOON, Stage},
};
use actors::store::{Claim, Member, SessionKey, SessionStore};
use protocol::{NodeId, SessionId, TenantId};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

async fn two() -> ([Stage; 2], Arc<dyn SessionStore>) {
    Stage::two(actors::Config { lease_ms: 600, ..actors::Config::default() }, json!({"concurrent_turns": 1})).await
}

/// Begins the turn `count` on the first node, and tells the events up to the first token.
async fn begun(one: &Stage) -> (String, Vec<Event>, Reader) {
    let session = format!("/v1/sessions/{}", one.session().await);
    let message = json!({"content": "count", "client_message_id": "m1"});
    let mut reader = Reader::new(one.post(&format!("{session}/messages"), &message).send().await.unwrap());
    let mut seen = vec![reader.next().await.unwrap()];
    while seen.last().unwrap().name != "token" {
        seen.push(reader.next().await.unwrap());
    }
    (session, seen, reader)
}

/// Every event once, in order, and the tokens are the answer.
fn whole(events: &[(String, Value)]) {
    let turn = events[0].0.split_once(':').unwrap().0;
    for (seq, (id, _)) in events.iter().enumerate() {
        assert_eq!(*id, format!("{turn}:{seq}"), "{events:?}");
    }
    let tokens = events.iter().filter(|(_, event)| event["type"] == "token");
    let text: String = tokens.map(|(_, event)| event["text"].as_str().unwrap()).collect();
    assert_eq!((text.as_str(), &events.last().unwrap().1["text"]), ("0 1 2 3 4 5 6 7 8 9 ", &json!(text)));
}

fn pairs(events: &[Event]) -> Vec<(String, Value)> {
    events.iter().map(|event| (event.id.clone(), event.json())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_nothing_of_its_node_losing_the_session_to_another() {
    let ([one, _two], store) = two().await;
    let (session, mut seen, reader) = begun(&one).await;
    let [mine, other] = ["node-one", "node-two"].map(|node| Member::new(NodeId::parse(node).unwrap()));
    let (tenant, id) = (TenantId::parse("a").unwrap(), SessionId::parse(&session["/v1/sessions/".len()..]).unwrap());
    // As another node does that takes this one for dead.
    let claim = store.claim(&SessionKey::new(&tenant, &id), &other, Some(&mine)).await.unwrap();
    assert!(matches!(claim, Some(Claim::Owned(_))));
    seen.extend(reader.rest().await);
    whole(&pairs(&seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_another_node_sees_nothing_of_a_hand_over() {
    let ([one, two], _) = two().await;
    let (session, seen, _reader) = begun(&one).await;
    let turn = seen[0].id.split_once(':').unwrap().0.to_string();
    let events = Reader::new(two.get(&format!("{session}/turns/{turn}/events")).send().await.unwrap());
    let mut socket = Client::at(&two, &format!("{session}/ws")).await;
    socket.send(&json!({"type": "resume", "turn": turn})).await;
    one.registry.drain(Duration::ZERO).await;
    let (events, frames) = tokio::join!(events.rest(), socket.turn());
    whole(&pairs(&events));
    let id = |frame: &Value| frame["id"].as_str().unwrap().to_string();
    whole(&frames.iter().map(|frame| (id(frame), frame.clone())).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_to_the_wrong_node_is_answered_there() {
    let ([one, two], _) = two().await;
    let (session, _, reader) = begun(&one).await;
    let ask = |stage: &Stage, body: Value| stage.post(&format!("{session}/messages"), &body).send();
    let repeat = ask(&two, json!({"content": "count", "client_message_id": "m1"})).await.unwrap();
    let (first, repeat) = (reader.rest(), Reader::new(repeat).rest());
    let (first, repeat) = tokio::join!(first, repeat);
    assert_eq!(first.last(), repeat.last());
    let other = Reader::new(ask(&two, json!({"content": "tell"})).await.unwrap()).rest().await;
    assert_eq!(other.last().unwrap().json()["text"], "Hello, 世界 [1]");
    let history: Value = two.get(&session).send().await.unwrap().json().await.unwrap();
    assert_eq!(history["messages"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_a_turn_of_another_node_holds_no_slot_of_its_own() {
    let ([one, two], _) = two().await;
    let (session, _, _reader) = begun(&one).await;
    let waiting = two.post(&format!("{session}/messages"), &json!({"content": "hang"})).send().await.unwrap();
    let other = format!("/v1/sessions/{}/messages", two.session().await);
    let ask = || two.post(&other, &json!({"content": "tell"})).send();
    assert_eq!(ask().await.unwrap().status(), 429);
    drop(waiting);
    let patience = Instant::now();
    while ask().await.unwrap().status() != 200 {
        assert!(patience.elapsed() < SOON, "the slot is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
