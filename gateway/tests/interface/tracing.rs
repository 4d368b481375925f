//! A turn belongs to the trace of the request that began it.

use crate::stage::Stage;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_continues_the_trace_of_its_request() {
    // Nobody listens there: spans are made and cannot be delivered.
    let otlp_endpoint = "http://127.0.0.1:9".to_string();
    let config = runtime::telemetry::Config { log: "off".into(), otlp_endpoint, ..Default::default() };
    let guard = runtime::telemetry::init(&config, "test").unwrap();
    let stage = Stage::start().await;
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "trace"}]});
    let request = stage.post("/v1/chat/completions", &body);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let answer: Value = request.header("traceparent", parent.as_str()).send().await.unwrap().json().await.unwrap();
    let seen = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(seen.starts_with(&format!("00-{TRACE}-")) && seen != parent, "{seen}");
    // Its drop would wait for the receiver that is not there.
    std::mem::forget(guard);
}
