//! The command against a fake gateway and a fake site: they answer by rule and serve nobody.

use super::*;
use protocol::{DocumentId, IngestCounts, IngestReport, IngestState, KnowledgeVersion, Outcome, Timestamp};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{body_json, header, method, path, path_regex},
};

fn report() -> IngestReport {
    IngestReport {
        ingest: IngestId::parse("ing_1").unwrap(),
        state: IngestState::Published,
        version: Some(KnowledgeVersion(7)),
        counts: IngestCounts { added: 1, ..IngestCounts::default() },
        documents: Vec::new(),
        next: None,
        begun: Timestamp(0),
    }
}

/// Takes every document but those called bad, which it cannot read; the first request for each is refused for now.
struct FakeGateway {
    server: MockServer,
}

impl FakeGateway {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let requests = AtomicUsize::new(0);
        let begin = Mock::given(method("POST")).and(path("/v1/ingests")).and(header("authorization", "Bearer secret"));
        begin.respond_with(ResponseTemplate::new(201).set_body_json(report())).mount(&server).await;
        let put = Mock::given(method("PUT")).and(path_regex("^/v1/ingests/ing_.*/documents$"));
        let answer = move |request: &Request| match requests.fetch_add(1, Ordering::Relaxed) {
            0 => ResponseTemplate::new(429).insert_header("retry-after", "0"),
            1 => ResponseTemplate::new(503),
            _ => ResponseTemplate::new(200).set_body_json(outcome(request)),
        };
        put.respond_with(answer).mount(&server).await;
        Self { server }
    }

    async fn expects_publish(&self, remove_others: bool) {
        let publish = Mock::given(method("POST")).and(path_regex("/publish$"));
        let publish = publish.and(body_json(json!({ "remove_others": remove_others })));
        publish.respond_with(ResponseTemplate::new(200).set_body_json(report())).expect(1).mount(&self.server).await;
    }

    async fn expects_abort(&self) {
        let abort = Mock::given(method("DELETE")).and(path_regex("/v1/ingests/ing_"));
        abort.respond_with(ResponseTemplate::new(204)).expect(1).mount(&self.server).await;
    }

    /// Name and media type of what it was sent in the end.
    async fn taken(&self) -> Vec<(String, String)> {
        let requests = self.server.received_requests().await.unwrap_or_default();
        let mut taken: Vec<_> =
            requests.iter().filter(|request| request.method.as_str() == "PUT").map(name_and_type).collect();
        taken.sort();
        taken.dedup();
        taken
    }

    async fn ingest(&self, sources: Vec<Source>, remove_others: bool) -> anyhow::Result<()> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let gateway = Gateway::new(&self.server.uri(), "secret")?.hasty();
        let web = Web::new(false)?;
        let id = gateway.begin().await?;
        let report = send_all(&gateway, &web, &id, sources).await;
        finish(&gateway, &id, report, remove_others).await
    }
}

fn name_and_type(request: &Request) -> (String, String) {
    let name = request.url.query_pairs().find(|(key, _)| key == "name").map(|(_, name)| name.into_owned());
    let kind = request.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    (name.unwrap_or_default(), kind.into())
}

fn outcome(request: &Request) -> protocol::DocumentOutcome {
    let (name, _) = name_and_type(request);
    let bad = name.contains("bad");
    protocol::DocumentOutcome {
        outcome: if bad { Outcome::Failed } else { Outcome::Added },
        failure: bad.then(|| protocol::Failure::new(protocol::ErrorCode::UnreadableDocument, "it is damaged")),
        document: DocumentId::parse("doc-1").unwrap(),
        passages: 1,
        bytes: request.body.len() as u64,
        warnings: Vec::new(),
        name,
    }
}

async fn sources(places: &[&str]) -> anyhow::Result<Vec<Source>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ingest = Ingest {
        sources: places.iter().map(|place| place.to_string()).collect(),
        url: String::new(),
        key: String::new(),
        remove_others: false,
        dry_run: true,
        any_host: false,
        max_pages: 10,
    };
    gather(&ingest, &Web::new(false)?).await
}

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("sub")).unwrap();
    files.iter().for_each(|name| std::fs::write(folder.path().join(name), "text").unwrap());
    folder
}

#[tokio::test]
async fn a_folder_is_sent_patiently_and_a_bad_file_is_told_and_passed_over() {
    let gateway = FakeGateway::start().await;
    gateway.expects_publish(true).await;
    let folder = folder(&["a.md", "bad.pdf", "sub/a.docx"]);
    let sources = sources(&[&folder.path().display().to_string()]).await.unwrap();
    let error = gateway.ingest(sources, true).await.unwrap_err().to_string();
    assert_eq!(error, "1 of 3 documents were not taken");
    let docx = media_type(DocumentFormat::Docx);
    let expected = [("a.md", "text/markdown"), ("bad.pdf", "application/pdf"), ("sub › a.docx", docx)];
    assert_eq!(gateway.taken().await, expected.map(|(name, kind)| (name.to_string(), kind.to_string())));
}

#[tokio::test]
async fn what_could_not_be_sent_is_not_removed_and_nothing_taken_is_nothing_changed() {
    let gateway = FakeGateway::start().await;
    gateway.expects_publish(false).await;
    let folder = folder(&["a.md", "b.md"]);
    let some = sources(&[&folder.path().display().to_string()]).await.unwrap();
    std::fs::remove_file(folder.path().join("b.md")).unwrap();
    assert!(gateway.ingest(some, true).await.unwrap_err().to_string().starts_with("1 of 2"));
    gateway.expects_abort().await;
    let bad =
        vec![Source { name: "bad.md".into(), place: Place::File(folder.path().join("a.md"), DocumentFormat::Text) }];
    assert!(gateway.ingest(bad, false).await.unwrap_err().to_string().contains("nothing was changed"));
}

async fn page(site: &MockServer, at: &str, kind: &str, body: &str) {
    let answer = ResponseTemplate::new(200).set_body_raw(body.replace("SITE", &site.uri()), kind);
    Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(site).await;
}

#[tokio::test]
async fn a_sitemap_is_followed_on_its_site_within_robots_txt() {
    let site = MockServer::start().await;
    page(&site, "/robots.txt", "text/plain", "User-agent: *\nDisallow: /secret").await;
    let index = "<sitemapindex><sitemap><loc>SITE/one.xml</loc></sitemap><sitemap><loc>SITE/sitemap.xml</loc></sitemap>\
                 </sitemapindex>";
    page(&site, "/sitemap.xml", "application/xml", index).await;
    let urls =
        ["SITE/help/%E9%80%80%E8%B4%A7", "SITE/a.pdf", "SITE/secret/x", "SITE/logo.png", "https://other.example/x"];
    let urls: Vec<String> = urls.iter().map(|url| format!("<url><loc>{url}</loc></url>")).collect();
    page(&site, "/one.xml", "text/xml", &format!("<urlset>{}</urlset>", urls.concat())).await;
    page(&site, "/help/%E9%80%80%E8%B4%A7", "text/html; charset=utf-8", "<p>七天").await;
    page(&site, "/a.pdf", "application/pdf", "%PDF").await;
    page(&site, "/logo.png", "image/png", "x").await;
    let gateway = FakeGateway::start().await;
    gateway.expects_publish(false).await;
    let found = sources(&[&format!("{}/sitemap.xml", site.uri())]).await.unwrap();
    assert_eq!(found.len(), 4, "{found:?}");
    let error = gateway.ingest(found, false).await.unwrap_err().to_string();
    assert!(error.starts_with("1 of 4"), "what robots.txt forbids is told: {error}");
    let expected = [("127.0.0.1 › a.pdf", "application/pdf"), ("127.0.0.1 › help › 退货", "text/html")];
    assert_eq!(gateway.taken().await, expected.map(|(name, kind)| (name.to_string(), kind.to_string())));
}
