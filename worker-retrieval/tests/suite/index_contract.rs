//! What every backend of the index port promises, and what the embedded one promises of its files.

use crate::tenant;
use protocol::{DocumentId, KnowledgeVersion};
use runtime::testing::Meilisearch;
use serde_json::json;
use std::{
    collections::VecDeque,
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use worker_retrieval::{
    embed::{Embedder, HashingEmbedder},
    index::{
        EmbeddedIndex, Found, IndexError, Limits, MeilisearchIndex, NewDocument, NewPassage, Query, SearchIndex,
        Vectors, connect,
    },
};

const LIMITS: Limits = Limits { open_tenants: 2, tenant_passages: 10 };

fn vectors() -> Vectors {
    Vectors { embedder: HashingEmbedder.id().into(), dimensions: HashingEmbedder.dimensions() }
}

fn open(directory: &Path) -> EmbeddedIndex {
    EmbeddedIndex::open(directory, vectors(), LIMITS).unwrap()
}

fn vector(text: &str) -> Vec<f32> {
    HashingEmbedder.embed_passages(&[text]).unwrap().remove(0)
}

fn id(text: &str) -> DocumentId {
    DocumentId::parse(text).unwrap()
}

fn v(version: u64) -> KnowledgeVersion {
    KnowledgeVersion(version)
}

/// A document whose passages are (title, text) pairs.
fn document(name: &str, passages: &[(&str, &str)]) -> NewDocument {
    let passages = passages.iter().map(|&(title, text)| NewPassage {
        title: title.into(),
        text: text.into(),
        vector: vector(&format!("{title} {text}")),
        question: Vec::new(),
    });
    NewDocument { id: id(name), passages: passages.collect() }
}

/// Publishes a version that takes documents out and brings others in.
fn build(index: &dyn SearchIndex, who: &str, version: u64, out: &[&str], new: Vec<NewDocument>) {
    let out: Vec<_> = out.iter().map(|name| id(name)).collect();
    index.remove(&tenant(who), v(version), &out).unwrap();
    index.add(&tenant(who), v(version), new).unwrap();
    index.seal(&tenant(who), v(version)).unwrap();
}

fn search(index: &dyn SearchIndex, who: &str, version: u64, text: &str) -> Found {
    let query = Query { text, vector: &vector(text), candidates: 5 };
    index.search(&tenant(who), v(version), query).unwrap()
}

fn behind(index: &dyn SearchIndex, who: &str, version: u64) -> u64 {
    let query = Query { text: "x", vector: &vector("x"), candidates: 5 };
    match index.search(&tenant(who), v(version), query) {
        Err(IndexError::Behind { asked, held }) if asked == v(version) => held.0,
        other => panic!("{other:?}"),
    }
}

fn texts(passages: &[protocol::Passage]) -> Vec<&str> {
    passages.iter().map(|passage| passage.text.as_str()).collect()
}

/// The texts of a version in any order, which both rankings must agree on.
fn all(index: &dyn SearchIndex, who: &str, version: u64, text: &str) -> Vec<String> {
    let found = search(index, who, version, text);
    let sorted = |passages| {
        let mut texts: Vec<String> = texts(passages).into_iter().map(str::to_owned).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(&found.by_text), sorted(&found.by_vector));
    sorted(&found.by_text)
}

fn finds_by_words_and_by_meaning_in_both_languages(index: &dyn SearchIndex) {
    let passages =
        [("退货", "七天内可以退货。"), ("配送", "满 99 元包邮。"), ("Shipping", "Parcels arrive in 2 days.")];
    build(index, "finds", 1, &[], vec![document("a", &passages)]);
    let found = search(index, "finds", 1, "怎么退货");
    assert_eq!(texts(&found.by_text), ["七天内可以退货。"]);
    assert_eq!((&found.by_vector[0].title, found.by_vector[0].chunk), (&"退货".to_owned(), 0));
    assert!(found.by_vector.is_sorted_by(|a, b| a.score >= b.score));
    let found = search(index, "finds", 1, "when will my PARCEL arrive?");
    assert_eq!(texts(&found.by_text), ["Parcels arrive in 2 days."], "by stems");
    assert_eq!((&found.by_text[0].document, found.by_text[0].chunk), (&id("a"), 2));
    assert_eq!(search(index, "finds", 1, "?? 的 the").by_text, [], "noise finds nothing");
}

fn a_curated_answer_is_as_close_as_the_closest_of_its_questions(index: &dyn SearchIndex) {
    let mut faq = document("f", &[("Reset password", "Tap it."), ("Open hours?", "reset password hours")]);
    faq.passages[0].question = vec![vector("Reset password"), vector("I forgot my login")];
    build(index, "faq", 1, &[], vec![faq, document("m", &[("login", "forgot")])]);
    let found = search(index, "faq", 1, "I forgot my login");
    assert_eq!(found.by_vector[0].text, "Tap it.");
    assert!(found.by_vector[0].score > 0.99 && found.by_vector[1].score < 0.9, "{found:?}");
    assert_eq!(found.by_vector.len(), 3, "each passage once");
}

fn a_version_is_seen_whole_or_not_at_all(index: &dyn SearchIndex) {
    assert_eq!((index.holds(&tenant("half")).unwrap(), behind(index, "half", 1)), (v(0), 0));
    assert_eq!(search(index, "half", 0, "word"), Found::default());
    build(index, "half", 1, &[], vec![document("a", &[("x", "word one"), ("y", "word two")])]);
    build(index, "half", 4, &["a", "unknown"], vec![document("a", &[("x", "word new")])]);
    assert_eq!(index.holds(&tenant("half")).unwrap(), v(4));
    index.remove(&tenant("half"), v(5), &[id("a")]).unwrap();
    index.add(&tenant("half"), v(5), vec![document("b", &[("x", "word b")])]).unwrap();
    assert_eq!((index.holds(&tenant("half")).unwrap(), behind(index, "half", 5)), (v(4), 4));
    assert_eq!(all(index, "half", 4, "word"), ["word new"], "an open build disturbs nobody");
    assert_eq!(all(index, "half", 1, "word"), ["word one", "word two"], "nor does a later version");
    index.add(&tenant("half"), v(5), vec![document("b", &[("x", "word c")])]).unwrap();
    index.seal(&tenant("half"), v(5)).unwrap();
    index.seal(&tenant("half"), v(5)).unwrap();
    assert_eq!(all(index, "half", 5, "word"), ["word c"], "the repeated document replaces the first");
    let late = index.add(&tenant("half"), v(5), vec![document("d", &[("x", "late")])]).unwrap_err();
    assert!(matches!(late, IndexError::Closed { .. }), "{late}");
}

fn what_came_to_nothing_is_undone(index: &dyn SearchIndex) {
    let t = tenant("undo");
    build(index, "undo", 1, &[], vec![document("a", &[("x", "word one")]), document("b", &[("x", "word b")])]);
    index.remove(&t, v(2), &[id("a")]).unwrap();
    index.add(&t, v(2), vec![document("c", &[("x", "word lost")])]).unwrap();
    index.undo(&t, v(1)).unwrap();
    build(index, "undo", 3, &[], vec![document("d", &[("x", "word d")])]);
    assert_eq!(all(index, "undo", 3, "word"), ["word b", "word d", "word one"]);
    build(index, "undo", 4, &["a", "b", "d"], vec![document("e", &[("x", "word e")])]);
    index.undo(&t, v(1)).unwrap();
    assert_eq!((index.holds(&t).unwrap(), behind(index, "undo", 4)), (v(1), 1));
    assert_eq!(all(index, "undo", 1, "word"), ["word b", "word one"]);
    build(index, "undo", 5, &["b"], vec![document("f", &[("x", "word f")])]);
    assert_eq!(all(index, "undo", 5, "word"), ["word f", "word one"]);
    index.undo(&t, v(0)).unwrap();
    assert_eq!((index.holds(&t).unwrap(), search(index, "undo", 0, "word")), (v(0), Found::default()));
}

fn what_nobody_sees_is_pruned(index: &dyn SearchIndex) {
    for version in 1..=30 {
        let texts = [("x", "word old"); 3].map(|(title, _)| (title, ["word even", "word odd"][version % 2]));
        build(index, "prune", version as u64, &["a"], vec![document("a", &texts)]);
    }
    index.prune(&tenant("prune"), v(29)).unwrap();
    assert_eq!(behind(index, "prune", 28), 30);
    assert_eq!(all(index, "prune", 29, "word"), ["word odd"; 3]);
    assert_eq!(all(index, "prune", 30, "word"), ["word even"; 3]);
    build(index, "prune", 31, &["a"], vec![document("b", &[("x", "word b")])]);
    assert_eq!(all(index, "prune", 31, "word"), ["word b"]);
    index.undo(&tenant("prune"), v(29)).unwrap();
    assert_eq!(all(index, "prune", 29, "word"), ["word odd"; 3]);
    index.undo(&tenant("prune"), v(7)).unwrap();
    assert_eq!(index.holds(&tenant("prune")).unwrap(), v(0), "a base that was dropped leaves nothing");
}

fn tenants_do_not_see_each_other(index: &dyn SearchIndex) {
    for who in ["a", "b", "meta.json"] {
        build(index, who, 1, &[], vec![document("same", &[("secret", who)])]);
    }
    for who in ["a", "b", "meta.json"] {
        assert_eq!(all(index, who, 1, "secret"), [who]);
    }
    build(index, "a", 2, &["same"], vec![]);
    index.clear(&tenant("meta.json")).unwrap();
    assert_eq!((all(index, "a", 2, "secret"), all(index, "b", 1, "secret")), (vec![], vec!["b".to_owned()]));
    assert_eq!((index.holds(&tenant("meta.json")).unwrap(), behind(index, "meta.json", 1)), (v(0), 0));
    build(index, "meta.json", 1, &[], vec![document("same", &[("secret", "again")])]);
    assert_eq!(all(index, "meta.json", 1, "secret"), ["again"]);
}

fn many_use_it_at_once(index: &dyn SearchIndex) {
    std::thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || {
                let who = format!("busy{worker}");
                for version in 1..=4 {
                    let name = format!("d{version}");
                    build(index, &who, version, &[], vec![document(&name, &[("x", "word")])]);
                    assert_eq!(all(index, &who, version, "word").len(), version as usize);
                }
            });
        }
    });
}

fn a_tenant_has_room_for_so_many_passages(index: &dyn SearchIndex) {
    let t = tenant("room");
    build(index, "room", 1, &[], vec![document("a", &[("x", "y"); 6])]);
    let error = index.add(&t, v(2), vec![document("b", &[("x", "y"); 5])]).unwrap_err();
    assert!(matches!(error, IndexError::TooMany(11, 10)), "{error}");
    index.undo(&t, v(1)).unwrap();
    build(index, "room", 3, &["a"], vec![document("a", &[("x", "y"); 10])]);
}

/// Every promise that needs nothing but the index itself.
fn keeps_the_contract(index: &dyn SearchIndex) {
    finds_by_words_and_by_meaning_in_both_languages(index);
    a_curated_answer_is_as_close_as_the_closest_of_its_questions(index);
    a_version_is_seen_whole_or_not_at_all(index);
    what_came_to_nothing_is_undone(index);
    what_nobody_sees_is_pruned(index);
    tenants_do_not_see_each_other(index);
    many_use_it_at_once(index);
    a_tenant_has_room_for_so_many_passages(index);
    index.check().unwrap();
}

#[test]
fn meilisearch_keeps_the_contract_and_comes_back() {
    let mut server = Meilisearch::start();
    let index = meilisearch(&server.url());
    keeps_the_contract(&index);
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
fn ask(server: &Meilisearch, key: &str, verb: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
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

fn settle(server: &Meilisearch, task: &serde_json::Value) {
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

#[test]
fn embedded_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    keeps_the_contract(&open(directory.path()));
    let space = directory.path().join(vectors().fingerprint());
    assert!(!space.join("tenants/nobody").exists(), "a search leaves nothing behind");
}

/// What the first two versions hold, without BM25's scores: its statistics count what was not dropped yet.
fn both(index: &dyn SearchIndex) -> [(Vec<String>, Vec<protocol::Passage>); 2] {
    [1, 2].map(|version| {
        let Found { by_text, by_vector } = search(index, "t", version, "word two");
        (by_text.into_iter().map(|passage| passage.text).collect(), by_vector)
    })
}

#[test]
fn what_was_sealed_survives_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let index = open(directory.path());
        build(&index, "t", 1, &[], vec![document("a", &[("q", "word one")]), document("gone", &[("q", "word")])]);
        build(&index, "t", 2, &["gone"], vec![document("b", &[("q two", "word two")])]);
        index.remove(&tenant("t"), v(3), &[id("a")]).unwrap();
        index.add(&tenant("t"), v(3), vec![document("c", &[("q", "word lost")])]).unwrap();
        both(&index)
    };
    let index = open(directory.path());
    assert_eq!(index.holds(&tenant("t")).unwrap(), v(2));
    assert_eq!(both(&index), before);
    index.undo(&tenant("t"), v(2)).unwrap();
    build(&index, "t", 4, &[], vec![document("d", &[("q", "word d")])]);
    index.undo(&tenant("t"), v(2)).unwrap();
    drop(index);
    let index = open(directory.path());
    assert_eq!(both(&index), before);
    build(&index, "t", 5, &["a"], vec![document("e", &[("q", "word e")])]);
    assert_eq!(all(&index, "t", 5, "word"), ["word e", "word two"]);
}

#[test]
fn a_log_cut_anywhere_holds_the_last_version_that_is_whole_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join(vectors().fingerprint()).join("tenants/t/rows.log");
    let mut ends = vec![0];
    for version in 1..=3 {
        let index = open(directory.path());
        build(&index, "t", version, &["a"], vec![document("a", &[("x", "word")])]);
        ends.push(fs::metadata(&log).unwrap().len());
    }
    let whole = fs::read(&log).unwrap();
    for cut in (0..whole.len()).step_by(97).chain(ends.iter().map(|end| *end as usize)).rev() {
        fs::write(&log, &whole[..cut]).unwrap();
        let index = open(directory.path());
        let held = index.holds(&tenant("t")).unwrap();
        assert_eq!(held.0 as usize, ends.iter().rposition(|end| *end as usize <= cut).unwrap(), "{cut}");
        assert_eq!(all(&index, "t", held.0, "word").len(), usize::from(held.0 > 0));
    }
    let mut damaged = whole.clone();
    damaged[ends[1] as usize + 60] ^= 1;
    fs::write(&log, &damaged).unwrap();
    let index = open(directory.path());
    assert_eq!(index.holds(&tenant("t")).unwrap(), v(1), "what is damaged is not served");
    build(&index, "t", 4, &["a"], vec![document("b", &[("x", "word again")])]);
    assert_eq!(all(&index, "t", 4, "word"), ["word again"]);
}

#[test]
fn more_tenants_than_stay_open_can_be_built_and_searched_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let names: Vec<String> = (0..5).map(|n| format!("t{n}")).collect();
    names.iter().for_each(|who| index.add(&tenant(who), v(1), vec![document(who, &[("x", "word")])]).unwrap());
    names.iter().for_each(|who| index.seal(&tenant(who), v(1)).unwrap());
    for who in names.iter().chain(&names) {
        assert_eq!(search(&index, who, 1, "word").by_text[0].document, id(who));
    }
}

#[test]
fn spaces_lie_apart_and_a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", directory.path().display());
    let connect = |url: &str, vectors| connect(url, None, Path::new("/nowhere"), vectors, LIMITS);
    let first = connect(&url, vectors()).unwrap();
    build(&*first, "t", 1, &[], vec![document("a", &[("x", "word")])]);
    let other = connect(&url, Vectors { embedder: "fastembed:x".into(), dimensions: 256 }).unwrap();
    assert_eq!(other.holds(&tenant("t")).unwrap(), v(0));
    let again = connect(&url, vectors()).err().unwrap();
    assert!(matches!(again, IndexError::InUse(_)), "{again}");
    assert!(matches!(connect("x", vectors()), Err(IndexError::Unknown(_))));
}

#[test]
fn other_formats_are_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let meta = directory.path().join(vectors().fingerprint()).join("meta.json");
    let newer = fs::read_to_string(&meta).unwrap().replace("\"format\":2", "\"format\":3,\"more\":1");
    fs::write(&meta, newer).unwrap();
    let error = EmbeddedIndex::open(directory.path(), vectors(), LIMITS).err().unwrap();
    assert!(matches!(error, IndexError::Newer { found: 3, known: 2, .. }), "{error}");
    fs::write(directory.path().join("meta.json"), "{\"format\":1}").unwrap();
    let error = EmbeddedIndex::open(directory.path(), vectors(), LIMITS).err().unwrap();
    assert!(error.to_string().contains("frontdesk rebuild"), "{error}");
}

#[test]
fn a_damaged_tenant_is_an_error_until_it_is_cleared_and_no_other_is_harmed() {
    let directory = tempfile::tempdir().unwrap();
    build(&open(directory.path()), "t", 1, &[], vec![document("a", &[("x", "word")])]);
    let words = directory.path().join(vectors().fingerprint()).join("tenants/t/words/meta.json");
    fs::write(&words, b"{").unwrap();
    let index = open(directory.path());
    let error = index.holds(&tenant("t")).unwrap_err();
    assert!(matches!(error, IndexError::Broken { .. }), "{error}");
    build(&index, "u", 1, &[], vec![document("a", &[("x", "word")])]);
    index.clear(&tenant("t")).unwrap();
    build(&index, "t", 1, &[], vec![document("a", &[("x", "word")])]);
    drop(index);
    fs::remove_dir_all(words.parent().unwrap()).unwrap();
    let error = open(directory.path()).holds(&tenant("t")).unwrap_err();
    assert!(error.to_string().contains("words of 1 passages"), "{error}");
}

#[test]
fn a_tenant_whose_making_was_cut_short_starts_empty() {
    let directory = tempfile::tempdir().unwrap();
    let space = directory.path().join(vectors().fingerprint());
    fs::create_dir_all(space.join("tenants/t/words")).unwrap();
    fs::write(space.join("tenants/t/words/.managed.json"), b"[]").unwrap();
    fs::write(space.join("meta.json.new"), b"{\"for").unwrap();
    let index = open(directory.path());
    assert_eq!(search(&index, "t", 0, "word"), Found::default());
    build(&index, "t", 1, &[], vec![document("a", &[("x", "word")])]);
    assert_eq!(all(&index, "t", 1, "word"), ["word"]);
}

#[test]
fn a_search_sees_one_version_whole_while_others_are_built_and_pruned() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let content = |version: u64| vec![document("a", &[("x", ["even word", "odd word"][version as usize % 2]); 4])];
    build(&index, "t", 1, &[], content(1));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for version in 2..40 {
                build(&index, "t", version, &["a"], content(version));
                index.prune(&tenant("t"), v(version - 1)).unwrap();
            }
        });
        while !writer.is_finished() {
            let version = index.holds(&tenant("t")).unwrap().0;
            let query = Query { text: "word", vector: &vector("word"), candidates: 9 };
            match index.search(&tenant("t"), v(version), query) {
                Err(IndexError::Behind { .. }) => {}
                found => {
                    let found = found.unwrap();
                    let expected = [["even word", "odd word"][version as usize % 2]; 4];
                    assert_eq!(
                        (texts(&found.by_text), texts(&found.by_vector)),
                        (expected.to_vec(), expected.to_vec())
                    );
                }
            }
        }
    });
}
