//! A tenant's documents.

use crate::stage::{Stage, refused};
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn put(stage: &Stage, query: &str, kind: &str, body: &[u8]) -> Response {
    let request = stage.request(Method::POST, &format!("/v1/documents{query}")).header("content-type", kind);
    request.body(body.to_vec()).send().await.unwrap()
}

#[tokio::test]
async fn a_document_is_added_replaced_listed_and_removed() {
    let stage = Stage::start().await;
    let added = put(&stage, "?name=a.md", "text/markdown; charset=utf-8", "# 你好".as_bytes()).await;
    assert_eq!(added.status(), 201);
    let report: Value = added.json().await.unwrap();
    assert_eq!((&report["document"]["format"], &report["document"]["bytes"]), (&json!("markdown"), &json!(8)));
    assert_eq!(put(&stage, "?name=a.md", "text/plain", b"again").await.status(), 200);
    assert_eq!(put(&stage, "?name=faq.csv", "TEXT/CSV", b"question,answer\n").await.status(), 201);
    let listed: Value = stage.get("/v1/documents").send().await.unwrap().json().await.unwrap();
    let kinds: Vec<_> = listed["data"].as_array().unwrap().iter().map(|document| document["format"].clone()).collect();
    assert_eq!(kinds, [json!("text"), json!("faq_csv")]);
    let other = stage.client.get(stage.url("/v1/documents")).bearer_auth("key-b").send().await.unwrap();
    assert_eq!(other.json::<Value>().await.unwrap(), json!({"data": []}));
    let delete = || stage.request(Method::DELETE, "/v1/documents/a.md").send();
    assert_eq!(delete().await.unwrap().status(), 204);
    refused(delete().await.unwrap(), 404, "document_not_found", None).await;
}

#[tokio::test]
async fn a_document_that_no_message_can_carry_is_too_large() {
    let stage = Stage::start().await;
    let response = put(&stage, "?name=a", "text/plain", &vec![1; 3_000_000]).await;
    let message = refused(response, 413, "payload_too_large", None).await;
    assert!(message.contains("at most 16777216"), "{message}");
    assert_eq!(put(&stage, "?name=a", "text/plain", &vec![b'\n'; 8_000_000]).await.status(), 201);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let stage = Stage::with(json!({"max_document_bytes": 2_000}), json!({})).await;
    let bad = put(&stage, "?name=a.txt", "text/plain", b"caf\xe9").await;
    assert!(refused(bad, 422, "unreadable_document", None).await.contains("offset 3"));
    for query in ["", "?name=", "?name=a%2Fb", "?name=%0A"] {
        refused(put(&stage, query, "text/plain", b"x").await, 400, "invalid_request", Some("name")).await;
    }
    refused(put(&stage, "?name=a&name=b", "text/plain", b"x").await, 400, "invalid_request", None).await;
    for kind in ["application/pdf", "text/plain; charset=gbk", "text/html"] {
        let message = refused(put(&stage, "?name=a", kind, b"x").await, 415, "unsupported_media_type", None).await;
        assert!(message.contains("text/markdown") && message.contains(kind), "{message}");
    }
    refused(put(&stage, "?name=a", "text/plain", &[b'x'; 2_001]).await, 413, "payload_too_large", None).await;
    refused(
        stage.request(Method::DELETE, "/v1/documents/..%2Fx").send().await.unwrap(),
        404,
        "document_not_found",
        None,
    )
    .await;
}
