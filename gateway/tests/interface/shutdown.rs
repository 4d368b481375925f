//! A process that is told to stop.

use crate::{
    sse::Reader,
    stage::{SOON, Stage, refused},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

#[tokio::test]
async fn streams_finish_and_nobody_new_is_let_in() {
    let mut stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let mut reader = Reader::new(stage.post(&path, &json!({"content": "count"})).send().await.unwrap());
    while reader.next().await.unwrap().name != "token" {}
    stage.stop.cancel();
    assert_eq!(reader.rest().await.last().unwrap().name, "finished");
    timeout(SOON, stage.server.take().unwrap()).await.unwrap().unwrap().unwrap();
    assert!(stage.client.get(stage.url("/livez")).send().await.is_err());
}

#[tokio::test]
async fn a_stream_without_end_is_cut_after_the_grace() {
    let mut stage = Stage::with(json!({"drain_ms": 1_000}), json!({})).await;
    let body = json!({"model": "tiny", "stream": true, "messages": [{"role": "user", "content": "hang"}]});
    let reader = Reader::new(stage.post("/v1/chat/completions", &body).send().await.unwrap());
    let asked = Instant::now();
    stage.stop.cancel();
    timeout(SOON, stage.server.take().unwrap()).await.unwrap().unwrap().unwrap();
    assert!((900..5_000).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
    drop(reader);
}

#[tokio::test]
async fn the_shutdown_is_shown_while_the_door_is_still_open_and_no_turn_begins() {
    let mut stage = Stage::with(json!({"drain_ms": 5_000, "drain_notice_ms": 1_000}), json!({})).await;
    let session = format!("/v1/sessions/{}", stage.session().await);
    let path = format!("{session}/messages");
    let mut reader = Reader::new(stage.post(&path, &json!({"content": "count"})).send().await.unwrap());
    while reader.next().await.unwrap().name != "token" {}
    let asked = Instant::now();
    stage.stop.cancel();
    let response = stage.client.get(stage.url("/readyz")).send().await.unwrap();
    assert_eq!(response.status(), 503);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["parts"]["gateway"], json!({"ready": false, "why": "stopping"}));
    let completion = json!({"model": "tiny", "messages": [{"role": "user", "content": "tell"}]});
    for request in [stage.post(&path, &json!({"content": "tell"})), stage.post("/v1/chat/completions", &completion)] {
        let response = request.send().await.unwrap();
        assert!(response.headers().contains_key("retry-after"));
        refused(response, 503, "unavailable", None).await;
    }
    assert_eq!(stage.get(&session).send().await.unwrap().status(), 200);
    assert_eq!(reader.rest().await.last().unwrap().name, "finished");
    timeout(SOON, stage.server.take().unwrap()).await.unwrap().unwrap().unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(1_000), "{:?}", asked.elapsed());
}
