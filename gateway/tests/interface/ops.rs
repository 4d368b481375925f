//! What operators read.

use crate::stage::{SOON, Stage, client, context, metrics, refused};
use reqwest::Method;
use serde_json::{Value, json};
use std::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
async fn readiness_tells_which_part_is_not_ready_and_why() {
    let stage = Stage::start().await;
    let get = |path: &str| stage.client.get(stage.url(path)).send();
    assert_eq!(get("/livez").await.unwrap().status(), 200);
    stage.health.ready("broker");
    assert_eq!(get("/readyz").await.unwrap().status(), 200);
    stage.health.unready("broker", "no connection");
    let response = get("/readyz").await.unwrap();
    assert_eq!(response.status(), 503);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["parts"]["broker"], json!({"ready": false, "why": "no connection"}));
    assert_eq!((&body["ready"], &body["parts"]["gateway"]), (&json!(false), &json!({"ready": true})));
    assert_eq!(body["parts"]["limits"], json!({"ready": true}));
    assert_eq!(get("/livez").await.unwrap().status(), 200);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let stage = Stage::start().await;
    stage.get("/v1/sessions/ses_private").send().await.unwrap();
    stage.get("/secret-path").send().await.unwrap();
    stage.client.request("BREW".parse().unwrap(), stage.url("/livez")).send().await.unwrap();
    let response = stage.client.get(stage.url("/metrics")).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = response.text().await.unwrap();
    for labels in [
        "route=\"/v1/sessions/{id}\",method=\"GET\",status=\"404\"",
        "route=\"unmatched\",method=\"GET\",status=\"404\"",
        "route=\"/livez\",method=\"OTHER\",status=\"405\"",
    ] {
        assert!(text.contains(&format!("frontdesk_http_requests_total{{{labels}}}")), "{text}");
    }
    assert!(text.contains("frontdesk_http_request_duration_seconds_count{route=\"/v1/sessions/{id}\"}"), "{text}");
    assert!(!text.contains("ses_private") && !text.contains("secret-path") && !text.contains("BREW"));
}

#[tokio::test]
async fn probes_may_ask_for_the_head_alone() {
    let stage = Stage::start().await;
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/", "/v1/models"] {
        let response = stage.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.bytes().await.unwrap().len(), 0, "{path}");
    }
    // The connection is still in step.
    assert_eq!(stage.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_description_is_served() {
    let stage = Stage::start().await;
    let body: Value = stage.client.get(stage.url("/openapi.json")).send().await.unwrap().json().await.unwrap();
    assert_eq!(body["openapi"], "3.1.0");
}

#[tokio::test]
async fn a_worker_serves_its_health_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let context = context().await;
    let (health, stop) = (context.health.clone(), context.stop.clone());
    let server = tokio::spawn(gateway::run_ops(listener, metrics(), context));
    let client = client();
    let get = |path: &str| client.get(format!("{url}{path}")).send();
    health.unready("worker-gpu", "loading the model");
    assert_eq!(get("/readyz").await.unwrap().status(), 503);
    health.ready("worker-gpu");
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 200), ("/v1/models", 404), ("/", 404)] {
        assert_eq!(get(path).await.unwrap().status(), status, "{path}");
    }
    stop.cancel();
    timeout(SOON, server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let stage = Stage::start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response = stage.client.get(stage.url("/nowhere")).send().await.unwrap();
        ids.push(response.headers()["x-request-id"].clone());
        refused(response, 404, "not_found", None).await;
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_lost_store_of_quotas_is_told_and_only_refuses_where_it_should() {
    // Nobody listens there.
    let nowhere = format!("redis://127.0.0.1:{}", runtime::testing::free_port());
    let stage = |on_loss| Stage::with(json!({"limits_store": nowhere, "limits_on_loss": on_loss}), json!({}));
    let (local, closed) = tokio::join!(stage("local"), stage("closed"));
    for (stage, ready, status) in [(local, true, 200), (closed, false, 503)] {
        let told = stage.client.get(stage.url("/readyz")).send().await.unwrap();
        assert_eq!(told.status(), status);
        let body: Value = told.json().await.unwrap();
        let limits = &body["parts"]["limits"];
        assert_eq!((&limits["ready"], limits["why"].is_string()), (&json!(ready), true), "{body}");
        let response = stage.get("/v1/models").send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (status, !ready));
    }
}
