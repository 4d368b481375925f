//! What lies in the server's index: passages, a marker per tenant, and a note of the settings.

use crate::index::NewPassage;
use protocol::{DocumentId, KnowledgeVersion, Passage, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Name of the embedder in the index's settings.
pub const EMBEDDER: &str = "passages";
/// Id of the note of the settings.
pub const SETTINGS: &str = "settings";

/// A passage that goes to the server.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    id: String,
    tenant: &'a str,
    document: &'a str,
    chunk: u32,
    added: u64,
    removed: u64,
    title: &'a str,
    text: &'a str,
    _vectors: Value,
}

impl<'a> Row<'a> {
    /// Passage `chunk` of a document that comes with `version`.
    pub fn new(
        tenant: &'a TenantId,
        document: &'a DocumentId,
        chunk: u32,
        version: KnowledgeVersion,
        passage: &'a NewPassage,
    ) -> Self {
        let all: Vec<&Vec<f32>> = std::iter::once(&passage.vector).chain(&passage.question).collect();
        Self {
            id: key(&[tenant.as_str(), document.as_str(), &chunk.to_string(), &version.0.to_string()]),
            tenant: tenant.as_str(),
            document: document.as_str(),
            chunk,
            added: version.0,
            removed: super::filter::NEVER,
            title: &passage.title,
            text: &passage.text,
            _vectors: json!({ EMBEDDER: { "embeddings": all, "regenerate": false } }),
        }
    }
}

/// The id of a row that is known by `parts`, none of which has a line break.
fn key(parts: &[&str]) -> String {
    Sha256::digest(parts.join("\n")).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What changes in a row that goes, or comes back.
#[derive(Debug, Serialize)]
pub struct Removal {
    /// The row's id.
    pub id: String,
    /// The first version without it.
    pub removed: u64,
}

/// The id of a row.
#[derive(Debug, Deserialize)]
pub struct Id {
    /// It.
    pub id: String,
}

/// Which versions of a tenant are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Marker {
    /// The last one.
    pub holds: u64,
    /// The first that can still be searched.
    pub oldest: u64,
}

impl Marker {
    /// Whether `version` is whole.
    pub fn has(self, version: KnowledgeVersion) -> bool {
        (self.oldest..=self.holds).contains(&version.0)
    }

    /// As it is written.
    pub fn row(self, tenant: &TenantId) -> Value {
        let vectors = json!({ EMBEDDER: null });
        let Self { holds, oldest } = self;
        json!({ "id": Self::id(tenant), "tenant": tenant, "holds": holds, "oldest": oldest, "_vectors": vectors })
    }

    /// Its id.
    pub fn id(tenant: &TenantId) -> String {
        format!("holds-{}", key(&[tenant.as_str()]))
    }
}

/// What a search finds: a passage or the tenant's marker.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Hit {
    /// A passage.
    Passage {
        /// Its document.
        document: DocumentId,
        /// Position within it.
        chunk: u32,
        /// What is shown as its title.
        title: String,
        /// What is shown.
        text: String,
    },
    /// Which versions are whole.
    Marker(Marker),
}

impl Hit {
    /// The passage with its score.
    pub fn passage(self, score: f32) -> Option<Passage> {
        match self {
            Self::Passage { document, chunk, title, text } => Some(Passage { document, chunk, title, text, score }),
            Self::Marker(_) => None,
        }
    }
}
