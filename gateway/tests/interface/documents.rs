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
async fn an_original_is_kept_whole_whatever_it_holds_and_of_its_tenant_only() {
    let stage = Stage::start().await;
    let bytes: Vec<u8> = (0..9_000_000u32).map(|n| (n * 31 % 256) as u8).collect();
    assert_eq!(put(&stage, "?name=a.pdf", "application/pdf", &bytes).await.status(), 201);
    let kept = async |tenant: &str| {
        let tenant = protocol::TenantId::parse(tenant).unwrap();
        let hashes = stage.archive.originals(&tenant).await.unwrap();
        let keys = hashes.iter().map(|hash| catalog::Key::original(&tenant, hash));
        let objects: Vec<_> = keys.map(async |key| stage.archive.get(&key).await.unwrap()).collect();
        futures_util::future::join_all(objects).await
    };
    assert_eq!(kept("a").await, [bytes]);
    assert_eq!(kept("b").await.len(), 0);
}

#[tokio::test]
async fn an_ingest_is_begun_filled_published_and_looked_at() {
    let stage = Stage::start().await;
    let begun = stage.request(Method::POST, "/v1/ingests").send().await.unwrap();
    assert_eq!(begun.status(), 201);
    let id = begun.json::<Value>().await.unwrap()["ingest"].as_str().unwrap().to_string();
    let path = format!("/v1/ingests/{id}/documents?name=a.docx");
    let kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let put = stage.request(Method::PUT, &path).header("content-type", kind).body("x").send().await.unwrap();
    assert_eq!(put.json::<Value>().await.unwrap()["outcome"], "added");
    let publish = stage.request(Method::POST, &format!("/v1/ingests/{id}/publish"));
    let published: Value = publish.json(&json!({"remove_others": true})).send().await.unwrap().json().await.unwrap();
    assert_eq!((&published["state"], &published["version"]), (&json!("published"), &json!(1)));
    let viewed: Value = stage.get(&format!("/v1/ingests/{id}?after=a")).send().await.unwrap().json().await.unwrap();
    assert_eq!(viewed["documents"][0]["name"], "a.docx");
    refused(stage.get("/v1/ingests/..%2Fx").send().await.unwrap(), 404, "not_found", None).await;
    let bad = stage.request(Method::POST, &format!("/v1/ingests/{id}/publish")).json(&json!({"remove": 1}));
    refused(bad.send().await.unwrap(), 400, "invalid_request", Some("remove")).await;
}

#[tokio::test]
async fn versions_and_unanswered_questions_are_told() {
    let stage = Stage::start().await;
    let versions: Value = stage.get("/v1/knowledge/versions").send().await.unwrap().json().await.unwrap();
    assert_eq!(versions, json!({"data": []}));
    let unanswered = stage.get("/v1/knowledge/unanswered").send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(unanswered, json!({"data": []}));
    let dismiss = async |query: &str| {
        stage.request(Method::DELETE, &format!("/v1/knowledge/unanswered{query}")).send().await.unwrap()
    };
    refused(dismiss("").await, 400, "invalid_request", Some("until")).await;
    assert_eq!(dismiss("?until=5").await.status(), 200);
    let rollback = stage.request(Method::POST, "/v1/knowledge/rollback").json(&json!({"to": 7}));
    refused(rollback.send().await.unwrap(), 404, "not_found", None).await;
    assert_eq!(stage.request(Method::POST, "/v1/knowledge/rebuild").send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let stage = Stage::with(json!({"max_document_bytes": 2_000}), json!({})).await;
    for query in ["", "?name=", "?name=a%2Fb", "?name=%0A"] {
        refused(put(&stage, query, "text/plain", b"x").await, 400, "invalid_request", Some("name")).await;
    }
    refused(put(&stage, "?name=a&name=b", "text/plain", b"x").await, 400, "invalid_request", None).await;
    for kind in ["image/png", "application/zip", "text/rtf"] {
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
