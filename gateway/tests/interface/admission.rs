//! Quotas.

use crate::{
    sse::Reader,
    stage::{SOON, Stage, refused},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_tenant_over_its_rate_is_told_when_to_come_back_and_others_are_not_touched() {
    let stage = Stage::with(json!({}), json!({"requests_per_minute": 3})).await;
    let send = |key: &str| stage.client.get(stage.url("/v1/models")).bearer_auth(key).send();
    for _ in 0..3 {
        assert_eq!(send("key-a").await.unwrap().status(), 200);
    }
    let response = send("key-a").await.unwrap();
    let number = |name: &str| response.headers()[name].to_str().unwrap().parse::<u64>().unwrap();
    let (seconds, ms) = (number("retry-after"), number("retry-after-ms"));
    assert!((10_000..=20_000).contains(&ms) && seconds == ms.div_ceil(1_000), "{ms}");
    refused(response, 429, "rate_limited", None).await;
    assert_eq!(send("key-b").await.unwrap().status(), 200);
    let metrics = stage.client.get(stage.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("frontdesk_refused_total{tenant=\"a\",code=\"rate_limited\"}"), "{metrics}");
}

#[tokio::test]
async fn a_refusal_for_want_of_capacity_is_counted() {
    let stage = Stage::start().await;
    let body = json!({"model": "tiny", "stream": true, "messages": [{"role": "user", "content": "refuse"}]});
    let response = stage.post("/v1/chat/completions", &body).send().await.unwrap();
    refused(response, 503, "overloaded", None).await;
    let session = format!("/v1/sessions/{}/messages", stage.session().await);
    let mut streams = Vec::new();
    let response = loop {
        let response = stage.post(&session, &json!({"content": "hang"})).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        streams.push(response);
    };
    refused(response, 503, "overloaded", None).await;
    let metrics = stage.client.get(stage.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line =
        metrics.lines().find(|line| line.starts_with("frontdesk_refused_total{tenant=\"a\",code=\"overloaded\"}"));
    let count: u64 = line.unwrap_or_else(|| panic!("{metrics}")).rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(count >= 2, "{count}");
}

#[tokio::test]
async fn a_turn_counts_until_its_stream_is_dropped() {
    let stage = Stage::with(json!({}), json!({"concurrent_turns": 1})).await;
    let ask = |content: &str| {
        stage.post(
            "/v1/chat/completions",
            &json!({"model": "tiny", "stream": true, "messages": [{"role": "user", "content": content}]}),
        )
    };
    let running = Reader::new(ask("hang").send().await.unwrap());
    let response = ask("tell").send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    refused(response, 429, "rate_limited", None).await;
    for (method, path) in [(Method::GET, "/v1/documents"), (Method::DELETE, "/v1/documents/a.md")] {
        refused(stage.request(method, path).send().await.unwrap(), 429, "rate_limited", None).await;
    }
    drop(running);
    let patience = Instant::now();
    while ask("tell").send().await.unwrap().status() != 200 {
        assert!(patience.elapsed() < SOON, "the permit was not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A call with 900 tokens to answer, as one of a tenant that has 1,000.
fn costly(content: &str, stream: bool) -> Value {
    json!({"model": "tiny", "stream": stream, "max_tokens": 900, "messages": [{"role": "user", "content": content}]})
}

#[tokio::test]
async fn tokens_are_reserved_while_a_turn_runs_and_settled_at_any_end() {
    let stage = Stage::with(json!({}), json!({"tokens_per_minute": 1_000})).await;
    let ask = |content: &str, stream: bool| stage.post("/v1/chat/completions", &costly(content, stream)).send();
    // Each of them costs 20 tokens at most, while any two would not fit beside each other.
    assert_eq!(ask("tell", false).await.unwrap().status(), 200);
    Reader::new(ask("tell", true).await.unwrap()).rest().await;
    Reader::new(ask("break", true).await.unwrap()).rest().await;
    assert_eq!(ask("break", false).await.unwrap().status(), 502);
    let mut running = Reader::new(ask("hang", true).await.unwrap());
    while !running.next().await.unwrap().data.contains("well") {}
    let response = ask("tell", false).await.unwrap();
    let wait: u64 = response.headers()["retry-after-ms"].to_str().unwrap().parse().unwrap();
    assert!((40_000..=60_000).contains(&wait), "{wait}");
    refused(response, 429, "rate_limited", None).await;
    // Who leaves pays what was generated, and no more.
    drop(running);
    let patience = Instant::now();
    while ask("tell", false).await.unwrap().status() != 200 {
        assert!(patience.elapsed() < SOON, "the reserve was not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = stage.client.get(stage.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for kind in ["prompt", "completion"] {
        let labels = format!("frontdesk_tenant_tokens_total{{tenant=\"a\",kind=\"{kind}\"}}");
        assert!(metrics.contains(&labels), "{metrics}");
    }
}

#[tokio::test]
async fn a_message_that_is_repeated_is_paid_once() {
    // A message reserves 3,512 tokens: there is room for one, and for what a few really cost.
    let stage = Stage::with(json!({}), json!({"tokens_per_minute": 3_600})).await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let message = json!({"content": "tell", "client_message_id": "m1"});
    for _ in 0..30 {
        Reader::new(stage.post(&path, &message).send().await.unwrap()).rest().await;
    }
}
