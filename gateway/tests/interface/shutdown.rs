//! A process that is told to stop.

use crate::{
    sse::Reader,
    stage::{SOON, Stage},
};
use serde_json::json;
use std::time::Instant;
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
