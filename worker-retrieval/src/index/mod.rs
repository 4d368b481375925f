//! The search index port: each tenant's passages, found by their words and by their meaning.

mod embedded;

pub use embedded::{EmbeddedIndex, Limits};

use protocol::{DocumentId, DocumentInfo, FaqMatch, Passage, TenantId};
use std::path::{Path, PathBuf};

/// A document to be kept.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// What is known of it; `info.passages` is the length of `passages`.
    pub info: DocumentInfo,
    /// In order; at least one.
    pub passages: Vec<NewPassage>,
}

/// A passage to be kept.
#[derive(Debug, Clone)]
pub struct NewPassage {
    /// The document's title and the headings above it, or a curated question.
    pub title: String,
    /// The passage itself, or a curated answer.
    pub text: String,
    /// Unit vector of title and text.
    pub vector: Vec<f32>,
    /// Unit vector of the curated question alone; `None`: this is not a curated answer.
    pub question: Option<Vec<f32>>,
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

/// What was found, all of it in one state of the index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Ranked by words; scores are BM25.
    pub by_text: Vec<Passage>,
    /// Ranked by meaning; scores are cosines.
    pub by_vector: Vec<Passage>,
    /// The curated question that is closest to the query.
    pub faq: Option<FaqMatch>,
}

/// Keeps passages per tenant. Every call blocks and sees one tenant only.
pub trait SearchIndex: Send + Sync {
    /// Adds `document` or replaces the one with its id; its passages become visible together, and survive a crash once
    /// this returns. Tells whether one was replaced.
    fn put(&self, tenant: &TenantId, document: NewDocument) -> Result<bool, IndexError>;

    /// Removes a document; `false`: there was none.
    fn delete(&self, tenant: &TenantId, document: &DocumentId) -> Result<bool, IndexError>;

    /// The tenant's documents by id.
    fn list(&self, tenant: &TenantId) -> Result<Vec<DocumentInfo>, IndexError>;

    /// Looks for `query`; a tenant without documents has no passages.
    fn search(&self, tenant: &TenantId, query: Query<'_>) -> Result<Found, IndexError>;
}

/// Whose vectors an index holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vectors {
    /// The embedder's id.
    pub embedder: String,
    /// Their length.
    pub dimensions: usize,
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The choice names no index.
    #[error("retrieval.index = {0:?}: expected embedded: or embedded:<directory>")]
    Unknown(String),
    /// The backend comes later.
    #[error("retrieval.index = {0:?}: Meilisearch is not built yet; use embedded: or embedded:<directory>")]
    NotBuilt(String),
    /// Another process has it.
    #[error("index {} is in use by another process; stop it, or give this one its own retrieval.index", .0.display())]
    InUse(PathBuf),
    /// It was written by another format or with another embedder.
    #[error(
        "index {} was written with {found}, this process uses {expected}: \
         set retrieval.embedder back, or move the directory away and add the documents again",
        path.display()
    )]
    Mismatch {
        /// The index.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// A document that does not fit.
    #[error("the tenant would have {0} passages, at most {1} are kept (retrieval.max_tenant_passages)")]
    TooMany(usize, usize),
    /// The directory cannot be read or written.
    #[error("index {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What the directory holds is damaged, or could not be written.
    #[error("index {}: {reason}", path.display())]
    Broken {
        /// The tenant's directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Opens the index that `url` names; `data` is where `embedded:` without a directory keeps it.
pub fn connect(url: &str, data: &Path, vectors: Vectors, limits: Limits) -> Result<Box<dyn SearchIndex>, IndexError> {
    match url.split_once(':') {
        Some(("embedded", "")) => Ok(Box::new(EmbeddedIndex::open(data.join("index"), vectors, limits)?)),
        Some(("embedded", directory)) => Ok(Box::new(EmbeddedIndex::open(directory.into(), vectors, limits)?)),
        Some(("http" | "https", _)) => Err(IndexError::NotBuilt(url.into())),
        _ => Err(IndexError::Unknown(url.into())),
    }
}
