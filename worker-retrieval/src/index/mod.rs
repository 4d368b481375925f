//! The search index port: each tenant's passages, found by their words and by their meaning, in the version that is asked.
//!
//! A passage row is part of version v if it was added by v or earlier and not removed by v or earlier. So a version costs
//! what it changes, a build disturbs no search, and going back to an earlier version costs nothing.

mod embedded;
mod error;
mod meilisearch;

pub use embedded::EmbeddedIndex;
pub use error::IndexError;
pub use meilisearch::MeilisearchIndex;

use protocol::{DocumentId, KnowledgeVersion, Passage, TenantId};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A document to be kept.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// Its id.
    pub id: DocumentId,
    /// In order; at least one.
    pub passages: Vec<NewPassage>,
}

/// A passage to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPassage {
    /// The document's title and the headings above it, or a curated question.
    pub title: String,
    /// The passage itself, or a curated answer.
    pub text: String,
    /// Unit vector of title and text.
    pub vector: Vec<f32>,
    /// Unit vectors of a curated question and of its variants; empty for an ordinary passage. The passage is as close to
    /// a query as the closest of all its vectors.
    pub question: Vec<Vec<f32>>,
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Its words.
    pub text: &'a str,
    /// Its meaning, a unit vector.
    pub vector: &'a [f32],
    /// At most this many passages in each ranking (≥ 1).
    pub candidates: usize,
}

/// What was found, all of it in one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Ranked by words; scores are BM25's, or another measure's that is higher for a better match.
    pub by_text: Vec<Passage>,
    /// Ranked by meaning; scores are cosines.
    pub by_vector: Vec<Passage>,
}

/// Keeps the passages of tenants' versions. Every call blocks and sees one tenant only.
///
/// A tenant's versions only grow, and one build runs at a time: `undo` what an earlier one left, then `remove` and `add`,
/// then `seal`. Between the first change and `seal` a crash may lose all of that version, and never more.
pub trait SearchIndex: Send + Sync {
    /// The last version of the tenant's knowledge that is whole in here; 0: none.
    fn holds(&self, tenant: &TenantId) -> Result<KnowledgeVersion, IndexError>;

    /// Undoes what versions after `base` brought and removed: builds that came to nothing, versions that were rolled back.
    fn undo(&self, tenant: &TenantId, base: KnowledgeVersion) -> Result<(), IndexError>;

    /// Brings documents in with `version`: no search of an earlier one sees them. At most a few hundred passages a call,
    /// as many calls as it takes. The same document again in the same version replaces the first.
    fn add(&self, tenant: &TenantId, version: KnowledgeVersion, documents: Vec<NewDocument>) -> Result<(), IndexError>;

    /// Takes documents of earlier versions out with `version`: searches of earlier ones still see them. Unknown ones are
    /// ignored.
    fn remove(&self, tenant: &TenantId, version: KnowledgeVersion, documents: &[DocumentId]) -> Result<(), IndexError>;

    /// `version` is whole: it survives a crash once this returns, and `holds` tells it.
    fn seal(&self, tenant: &TenantId, version: KnowledgeVersion) -> Result<(), IndexError>;

    /// Looks for `query` in what `version` holds; [`IndexError::Behind`] if that is not whole in here.
    fn search(&self, tenant: &TenantId, version: KnowledgeVersion, query: Query<'_>) -> Result<Found, IndexError>;

    /// Drops what no version from `oldest` on sees; earlier ones cannot be searched any more.
    fn prune(&self, tenant: &TenantId, oldest: KnowledgeVersion) -> Result<(), IndexError>;

    /// Drops all of the tenant, even if it is damaged.
    fn clear(&self, tenant: &TenantId) -> Result<(), IndexError>;

    /// Whether several workers use one and the same: then their changes must not meet.
    fn is_shared(&self) -> bool;

    /// Whether it answers now.
    fn check(&self) -> Result<(), IndexError>;
}

/// Whose vectors an index holds: the *space* in which they can be compared. The data of spaces lie apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vectors {
    /// The embedder's id.
    pub embedder: String,
    /// Their length.
    pub dimensions: usize,
}

impl Vectors {
    /// A short name of the space, the same for ever: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let hash = Sha256::digest(format!("{}\n{}", self.embedder, self.dimensions));
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Bounds of what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tenants whose index stays open.
    pub open_tenants: usize,
    /// Passages of one version of a tenant.
    pub tenant_passages: usize,
}

/// Opens the index that `url` names for one space. `key` is the master or admin key of a
/// search server; `data` is where `embedded:` without a
/// directory keeps its own.
pub fn connect(
    url: &str,
    key: Option<&str>,
    data: &Path,
    vectors: Vectors,
    limits: Limits,
) -> Result<Box<dyn SearchIndex>, IndexError> {
    match url.split_once(':') {
        Some(("embedded", "")) => Ok(Box::new(EmbeddedIndex::open(&data.join("index"), vectors, limits)?)),
        Some(("embedded", directory)) => Ok(Box::new(EmbeddedIndex::open(directory.as_ref(), vectors, limits)?)),
        Some(("http" | "https", _)) => Ok(Box::new(MeilisearchIndex::open(url, key, vectors, limits)?)),
        _ => Err(IndexError::Unknown(url.into())),
    }
}
