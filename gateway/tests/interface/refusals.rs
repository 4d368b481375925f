//! Bad requests get clear answers.

use crate::stage::{Stage, refused};
use reqwest::{Body, Method};
use serde_json::json;

#[tokio::test]
async fn a_key_is_needed_and_must_be_known() {
    let stage = Stage::start().await;
    let send = |key: Option<&str>| {
        let request = stage.client.get(stage.url("/v1/models"));
        key.into_iter().fold(request, |request, key| request.header("authorization", key)).send()
    };
    for key in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic key-a"), Some("key-a")] {
        let response = send(key).await.unwrap();
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        refused(response, 401, "invalid_api_key", None).await;
    }
    assert_eq!(send(Some("bearer key-a")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_local_key_is_refused_to_whoever_comes_from_elsewhere() {
    let stage = Stage::start().await;
    let local = || stage.client.get(stage.url("/v1/models")).bearer_auth("key-local");
    assert_eq!(local().send().await.unwrap().status(), 200);
    for (name, value) in [("x-forwarded-for", "192.0.2.7"), ("host", "rebound.example")] {
        let message = refused(local().header(name, value).send().await.unwrap(), 401, "invalid_api_key", None).await;
        assert!(message.contains("this machine only"), "{message}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told() {
    let stage = Stage::start().await;
    let message = refused(stage.get("/v1/nothing").send().await.unwrap(), 404, "not_found", None).await;
    assert!(message.contains("/v1/nothing"));
    for path in ["/v1/chat/completions", "/v1/sessions/x/messages", "/livez", "/"] {
        let response = stage.request(Method::PUT, path).send().await.unwrap();
        let allowed = response.headers()["allow"].to_str().unwrap().to_string();
        let message = refused(response, 405, "method_not_allowed", None).await;
        assert!(message.contains(&allowed), "{message}");
    }
    refused(stage.get("/v1/sessions/..%2Fx").send().await.unwrap(), 404, "session_not_found", None).await;
    refused(stage.get("/v1/sessions/ses_unknown").send().await.unwrap(), 404, "session_not_found", None).await;
}

#[tokio::test]
async fn a_bad_message_is_refused_by_field() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let send = |body: &str| {
        let request = stage.request(Method::POST, &path).header("content-type", "application/json");
        request.body(body.to_string()).send()
    };
    for (body, param, words) in [
        ("{\"content\": \"tell\"", None, "line 1"),
        ("{\n \"content\": 1}", Some("content"), "line 2 column 13"),
        ("{}", Some("content"), "missing"),
        ("{\"content\": \"tell\", \"color\": 1}", Some("color"), "unknown field"),
        ("{\"content\": \" \\n\"}", Some("content"), "empty"),
        ("{\"content\": \"tell\", \"client_message_id\": \"a b\"}", Some("client_message_id"), "ClientMessageId"),
        ("{\"content\": \"tell\", \"lang\": \"?\"}", Some("lang"), "language tag"),
    ] {
        let message = refused(send(body).await.unwrap(), 400, "invalid_request", param).await;
        assert!(message.contains(words), "{body}: {message}");
    }
    let response = send("{\"content\": \"tell\"}").await.unwrap();
    assert_eq!(response.status(), 200);
    let other = stage.client.post(stage.url(&path)).bearer_auth("key-b").json(&json!({"content": "tell"})).send();
    refused(other.await.unwrap(), 404, "session_not_found", None).await;
}

#[tokio::test]
async fn the_longest_message_is_bounded_before_the_longest_body() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let message = json!({"content": "x".repeat(40 << 10)});
    refused(stage.post(&path, &message).send().await.unwrap(), 413, "payload_too_large", Some("content")).await;
    let message = json!({"content": "x".repeat(1 << 20)});
    refused(stage.post(&path, &message).send().await.unwrap(), 413, "payload_too_large", None).await;
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_at_the_limit() {
    let stage = Stage::start().await;
    let pieces = futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 16 << 10])));
    let request = stage.request(Method::POST, "/v1/sessions").body(Body::wrap_stream(pieces));
    refused(request.send().await.unwrap(), 413, "payload_too_large", None).await;
}

#[tokio::test]
async fn only_plain_json_is_read() {
    let stage = Stage::start().await;
    let send = |name: &str, value: &str| {
        let request = stage.request(Method::POST, "/v1/chat/completions").body("{}");
        let request = if name == "content-type" { request } else { request.header("content-type", "application/json") };
        request.header(name, value).send()
    };
    let response = send("content-type", "application/x-www-form-urlencoded").await.unwrap();
    let message = refused(response, 415, "unsupported_media_type", None).await;
    assert!(message.contains("Content-Type: application/json"), "{message}");
    refused(send("content-encoding", "gzip").await.unwrap(), 415, "unsupported_media_type", None).await;
    let response = send("content-type", "application/json; charset=utf-8").await.unwrap();
    refused(response, 400, "invalid_request", Some("model")).await;
}
