//! The index on a real Meilisearch server, and on one that is busy.

use crate::{
    index_contract::{LIMITS, all, build, document, id, keeps_the_contract, search, texts, v, vector, vectors},
    tenant,
};
use runtime::testing::Meilisearch;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use worker_retrieval::index::{IndexError, MeilisearchIndex, Query, SearchIndex};

#[test]
fn meilisearch_keeps_the_contract_and_comes_back() {
    let mut server = Meilisearch::start();
    let index = meilisearch(&server.url());
    keeps_the_contract(&index, 4);
    index.remove(&tenant("b"), v(2), &[id("same")]).unwrap();
    server.kill();
    let query = Query { text: "secret", vector: &vector("secret"), candidates: 5 };
    let began = Instant::now();
    let down = index.search(&tenant("b"), v(1), query).unwrap_err();
    assert!(matches!(down, IndexError::Unavailable { .. }) && began.elapsed().as_secs() < 2, "{down}");
    assert!(matches!(index.check(), Err(IndexError::Unavailable { .. })));
    server.start_again();
    index.undo(&tenant("b"), v(1)).unwrap();
    assert_eq!(all(&index, "b", 1, "secret"), ["b"]);
    build(&index, "b", 3, &["same"], vec![document("other", &[("secret", "three")])]);
    assert_eq!(
        (all(&index, "b", 1, "secret"), all(&index, "b", 3, "secret")),
        (vec!["b".into()], vec!["three".into()])
    );
    settings_are_brought_up_to_date_and_newer_ones_refused(&server);
    a_token_of_one_tenant_opens_no_other(&server);
}

fn meilisearch(url: &str) -> MeilisearchIndex {
    MeilisearchIndex::open(url, Some(Meilisearch::KEY), vectors(), LIMITS).unwrap()
}

/// Asks the server itself, with its master key or another one.
fn ask(server: &Meilisearch, key: &str, verb: &str, path: &str, body: Value) -> Value {
    let arguments = ["-s", "-X", verb, "-H", &format!("Authorization: Bearer {key}")].map(str::to_owned);
    let body = ["-H", "Content-Type: application/json", "-d", &body.to_string()].map(str::to_owned);
    let url = format!("{}{path}", server.url());
    let output = Command::new("curl").args(arguments).args(body).arg(url).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn settings_are_brought_up_to_date_and_newer_ones_refused(server: &Meilisearch) {
    let uid = format!("frontdesk-1-{}", vectors().fingerprint());
    let path = format!("/indexes/{uid}");
    let note = |format: u32| {
        let note = json!([{ "id": "settings", "format": format, "_vectors": { "passages": null } }]);
        let task = ask(server, Meilisearch::KEY, "POST", &format!("{path}/documents"), note);
        settle(server, &task);
    };
    let old = json!({ "searchableAttributes": ["title"] });
    settle(server, &ask(server, Meilisearch::KEY, "PATCH", &format!("{path}/settings"), old));
    note(0);
    let index = meilisearch(&server.url());
    assert_eq!(texts(&search(&index, "b", 1, "b").by_text), ["b"], "the text is searched again");
    note(99);
    let newer = meilisearch(&server.url()).holds(&tenant("b")).unwrap_err();
    assert!(matches!(newer, IndexError::Newer { found: 99, .. }), "{newer}");
    note(1);
    let refused = MeilisearchIndex::open(&server.url(), Some("wrong-key-0123456789"), vectors(), LIMITS).unwrap();
    let refused = refused.holds(&tenant("b")).unwrap_err();
    assert!(matches!(refused, IndexError::Refused { .. }), "{refused}");
}

fn settle(server: &Meilisearch, task: &Value) {
    let path = format!("/tasks/{}", task["taskUid"]);
    while matches!(
        ask(server, Meilisearch::KEY, "GET", &path, json!(null))["status"].as_str(),
        Some("enqueued" | "processing")
    ) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a defect that forgets the filter would do.
fn a_token_of_one_tenant_opens_no_other(server: &Meilisearch) {
    let index = meilisearch(&server.url());
    let token = index.token(&tenant("b")).unwrap().unwrap();
    let path = format!("/indexes/frontdesk-1-{}", vectors().fingerprint());
    let everything = ask(server, &token, "POST", &format!("{path}/search"), json!({ "limit": 1000 }));
    let hits = everything["hits"].as_array().unwrap();
    assert!(!hits.is_empty() && hits.iter().all(|hit| hit["tenant"] == "b"), "{everything}");
    let others = json!({ "filter": "tenant = \"a\"" });
    assert_eq!(ask(server, &token, "POST", &format!("{path}/search"), others)["hits"], json!([]));
    let document = ask(server, &token, "GET", &format!("{path}/documents/settings"), json!(null));
    assert_eq!(document["type"], "auth", "it only searches: {document}");
}

#[test]
fn a_busy_server_is_waited_for_as_long_as_the_caller_can() {
    let server = Busy::start();
    let index = meilisearch(&server.url());
    server.answers(&[(503, "0"), (429, "1"), (200, "0")]);
    let began = Instant::now();
    index.check().unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "it is asked again when it said");
    server.answers(&[(503, "10")]);
    let began = Instant::now();
    let busy = index.check().unwrap_err();
    assert!(matches!(busy, IndexError::Unavailable { .. }) && busy.to_string().contains("503"), "{busy}");
    assert!(began.elapsed() < Duration::from_secs(1), "ten seconds are more than a search has");
}

/// Answers as it is told, with `Retry-After`.
struct Busy {
    listener: TcpListener,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

impl Busy {
    fn start() -> Self {
        let busy = Self { listener: TcpListener::bind("127.0.0.1:0").unwrap(), answers: Arc::default() };
        let (listener, answers) = (busy.listener.try_clone().unwrap(), busy.answers.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let Some((status, after)) = answers.lock().unwrap().pop_front() else { return };
                let body = r#"{"status":"available"}"#;
                let head = format!("HTTP/1.1 {status} X\r\nRetry-After: {after}\r\nContent-Length: {}", body.len());
                stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes()).unwrap();
            }
        });
        busy
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    fn answers(&self, answers: &[(u16, &'static str)]) {
        self.answers.lock().unwrap().extend(answers);
    }
}
