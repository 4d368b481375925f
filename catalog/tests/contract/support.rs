//! Documents, and shorter words for what the cases do.

use catalog::{Build, Catalog, CatalogError, Change, Document, FaqEntry, Staged, Work};
use protocol::{
    ContentHash, DocumentFormat, DocumentId, IngestId, KnowledgeVersion, Original, Outcome, TenantId, Timestamp,
};
use std::{sync::Arc, time::Duration};

pub type Shared = Arc<dyn Catalog>;

pub const LEASE: Duration = Duration::from_secs(60);

pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub fn id(name: &str) -> DocumentId {
    DocumentId::parse(name).unwrap()
}

pub fn ingest(name: &str) -> IngestId {
    IngestId::parse(name).unwrap()
}

/// A hash that `contents` decides.
pub fn hash(contents: &str) -> ContentHash {
    let sum = contents
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    ContentHash::parse(format!("{sum:064x}")).unwrap()
}

pub fn v(version: u64) -> KnowledgeVersion {
    KnowledgeVersion(version)
}

pub fn at(ms: u64) -> Timestamp {
    Timestamp(ms)
}

pub fn document(name: &str, contents: &str, added: KnowledgeVersion) -> Document {
    staged(name, contents).document(added)
}

pub fn staged(name: &str, contents: &str) -> Staged {
    Staged {
        name: format!("{name}.md"),
        id: id(name),
        format: DocumentFormat::Markdown,
        original: Original { hash: hash(contents), bytes: contents.len() as u64 },
        title: format!("关于 {contents} 🦀"),
        passages: 2,
        recipe: "recipe1".into(),
        warnings: Vec::new(),
        failure: None,
        outcome: Outcome::Added,
    }
}

/// Publishes documents `(name, contents)` and removes others.
pub async fn publish(catalog: &Shared, tenant: &TenantId, put: &[(&str, &str)], gone: &[&str]) -> KnowledgeVersion {
    let build = catalog.begin_build(tenant, at(1000), LEASE).await.unwrap();
    catalog.publish(tenant, &build, work(&build, put, gone), at(1500)).await.unwrap();
    build.version
}

pub fn work(build: &Build, put: &[(&str, &str)], gone: &[&str]) -> Work {
    let put: Vec<Document> = put.iter().map(|(name, contents)| document(name, contents, build.version)).collect();
    let change = Change { put, removed: gone.iter().map(|name| id(name)).collect() };
    Work { change, faq: Vec::new(), embedder: "hashing:8".into(), ingest: None }
}

pub fn entry(document: &str, position: u32, question: &str) -> FaqEntry {
    FaqEntry {
        document: id(document),
        position,
        question: question.into(),
        variants: vec!["另一种|问法".into(), String::new()],
        answer: "\"答案\" 🦀 \\ '".into(),
        vectors: vec![vec![0.1, -0.5, f32::MIN_POSITIVE], vec![1.0, 0.0, 0.0], vec![0.6, 0.8, -0.0]],
    }
}

/// A version's documents as `name contents`.
pub async fn shown(catalog: &Shared, tenant: &TenantId, version: KnowledgeVersion) -> Vec<String> {
    let documents = catalog.documents(tenant, version).await.unwrap();
    let contents = |document: &Document| document.title.trim_start_matches("关于 ").trim_end_matches(" 🦀").to_owned();
    documents.iter().map(|document| format!("{} {}", document.id, contents(document))).collect()
}

pub fn missing<T>(result: Result<T, CatalogError>) -> bool {
    matches!(result, Err(CatalogError::Missing(_)))
}

pub fn conflict<T>(result: Result<T, CatalogError>) -> bool {
    matches!(result, Err(CatalogError::Conflict))
}

/// Makes a database look as if a later build had written it.
pub async fn age(url: &str) {
    let _ = sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::mysql::any::DRIVER]);
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    sqlx::query("INSERT INTO catalog_schema (steps) VALUES (1000)").execute(&pool).await.unwrap();
    pool.close().await;
}
