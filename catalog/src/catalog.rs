//! The catalogue port.

use crate::{Build, Change, Document, FaqEntry, Ingest, Question, Staged, Work};
use async_trait::async_trait;
use protocol::{ContentHash, DocumentId, IngestCounts, IngestId, KnowledgeVersion, TenantId, Timestamp, VersionInfo};
use std::time::Duration;

/// Why the catalogue did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Another build holds the tenant, or this one expired, or what was served has changed.
    #[error("another build of this tenant's knowledge runs, or was faster")]
    Conflict,
    /// There is no such version, ingest or document.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// The database does not answer; what was asked may have happened.
    #[error("the catalogue is unavailable: {0}")]
    Unavailable(String),
    /// It was written by a newer build, or is damaged.
    #[error("the catalogue cannot be used: {0}")]
    Unusable(String),
}

/// Everything that is known of tenants' knowledge.
pub trait Catalog: Versions + Ingests + Questions {}
impl<T: Versions + Ingests + Questions> Catalog for T {}

/// Versions and their documents.
#[async_trait]
pub trait Versions: Send + Sync + 'static {
    /// The version that customers are answered from; 0 if nothing was ever published.
    async fn served(&self, tenant: &TenantId) -> Result<KnowledgeVersion, CatalogError>;

    /// The versions that are kept, newest first.
    async fn versions(&self, tenant: &TenantId) -> Result<Vec<VersionInfo>, CatalogError>;

    /// The documents of a version, by id; none of version 0.
    async fn documents(&self, tenant: &TenantId, version: KnowledgeVersion) -> Result<Vec<Document>, CatalogError>;

    /// One document of a version.
    async fn document(
        &self,
        tenant: &TenantId,
        version: KnowledgeVersion,
        id: &DocumentId,
    ) -> Result<Option<Document>, CatalogError>;

    /// What leads from `from` to `to`, a later version. `from` 0 gives all documents of `to`.
    async fn changes(
        &self,
        tenant: &TenantId,
        from: KnowledgeVersion,
        to: KnowledgeVersion,
    ) -> Result<Change, CatalogError>;

    /// The curated answers of a version, by document and position.
    async fn faq(&self, tenant: &TenantId, version: KnowledgeVersion) -> Result<Vec<FaqEntry>, CatalogError>;

    /// Begins a build on what is served. [`CatalogError::Conflict`] while another one runs, that is until it is published
    /// or aborted, or `lease` after it began or was last renewed.
    async fn begin_build(&self, tenant: &TenantId, now: Timestamp, lease: Duration) -> Result<Build, CatalogError>;

    /// The build runs for `lease` from now on. [`CatalogError::Conflict`] if it has expired and another one has begun, or
    /// another version was served.
    async fn renew_build(
        &self,
        tenant: &TenantId,
        build: &Build,
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), CatalogError>;

    /// Serves the build's version, in one transaction with everything in `work`. What versions after its base brought or
    /// removed (they were rolled back) is undone. To publish a build again does nothing while it is served.
    async fn publish(&self, tenant: &TenantId, build: &Build, work: Work, now: Timestamp) -> Result<(), CatalogError>;

    /// Gives the build up; nothing of it stays.
    async fn abort_build(&self, tenant: &TenantId, build: &Build) -> Result<(), CatalogError>;

    /// Serves a version that is kept; [`CatalogError::Conflict`] while a build runs. A build that has expired ends with it.
    async fn rollback(&self, tenant: &TenantId, to: KnowledgeVersion, now: Timestamp) -> Result<(), CatalogError>;

    /// Forgets versions below `oldest`, which is not above the served one ([`CatalogError::Conflict`]), and documents that
    /// were removed by then or came with a version that was rolled back. Returns the originals of these; others may still need
    /// them.
    async fn prune(&self, tenant: &TenantId, oldest: KnowledgeVersion) -> Result<Vec<ContentHash>, CatalogError>;

    /// Of `hashes`, those that a kept version or an open ingest still needs.
    async fn needed(&self, tenant: &TenantId, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, CatalogError>;

    /// Every tenant that ever had a version, by id.
    async fn tenants(&self) -> Result<Vec<TenantId>, CatalogError>;

    /// Whether the database answers now.
    async fn check(&self) -> Result<(), CatalogError>;
}

/// Ingests: documents on their way into a version.
#[async_trait]
pub trait Ingests: Send + Sync + 'static {
    /// Begins one; nothing happens if it has begun already.
    async fn begin(&self, tenant: &TenantId, ingest: &IngestId, now: Timestamp) -> Result<(), CatalogError>;

    /// The ingest.
    async fn ingest(&self, tenant: &TenantId, ingest: &IngestId) -> Result<Ingest, CatalogError>;

    /// Adds a document to an open ingest, or replaces the one of the same name in it. [`CatalogError::Missing`] if the ingest
    /// is unknown or has ended.
    async fn stage(&self, tenant: &TenantId, ingest: &IngestId, staged: &Staged) -> Result<(), CatalogError>;

    /// At most `most` documents of an ingest whose names come after `after`, by name.
    async fn staged(
        &self,
        tenant: &TenantId,
        ingest: &IngestId,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Staged>, CatalogError>;

    /// How many of an ingest's documents came to what; `removed` is that of the ingest.
    async fn counts(&self, tenant: &TenantId, ingest: &IngestId) -> Result<IngestCounts, CatalogError>;

    /// Ends an open ingest that changes nothing; `version` is what is served and holds all of it.
    async fn close(&self, tenant: &TenantId, ingest: &IngestId, version: KnowledgeVersion) -> Result<(), CatalogError>;

    /// Gives an ingest up, if it is open or was given up before; else it is [`CatalogError::Missing`].
    async fn abort(&self, tenant: &TenantId, ingest: &IngestId) -> Result<(), CatalogError>;

    /// Forgets ingests that began before `before`. Returns the originals of their documents; others may still need them.
    async fn forget_ingests(&self, tenant: &TenantId, before: Timestamp) -> Result<Vec<ContentHash>, CatalogError>;
}

/// Questions that were not answered.
#[async_trait]
pub trait Questions: Send + Sync + 'static {
    /// Keeps a question; of those beyond `most` the oldest go.
    async fn ask(&self, tenant: &TenantId, question: &Question, most: usize) -> Result<(), CatalogError>;

    /// At most `most` of them, the latest first.
    async fn questions(&self, tenant: &TenantId, most: usize) -> Result<Vec<Question>, CatalogError>;

    /// Forgets those up to `until`.
    async fn dismiss(&self, tenant: &TenantId, until: Timestamp) -> Result<(), CatalogError>;
}
