//! What the catalogue holds.

use protocol::{
    ContentHash, DocumentFormat, DocumentId, Failure, IngestId, IngestState, KnowledgeVersion, Lang, Original, Outcome,
    QuantizedVector, Timestamp,
};

/// A document of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id, which its name decides.
    pub id: DocumentId,
    /// Its file name.
    pub name: String,
    /// Its first heading, else its name.
    pub title: String,
    /// How it is written.
    pub format: DocumentFormat,
    /// Its original in the archive.
    pub original: Original,
    /// Passages it was cut into.
    pub passages: u32,
    /// How it was cut and embedded; the name of what was prepared from it (see [`crate::Key::prepared`]).
    pub recipe: String,
    /// The version that brought it.
    pub added: KnowledgeVersion,
}

/// A curated question and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct FaqEntry {
    /// Of which document.
    pub document: DocumentId,
    /// Its place there, from 0.
    pub position: u32,
    /// The question.
    pub question: String,
    /// Other wordings of it.
    pub variants: Vec<String>,
    /// The answer.
    pub answer: String,
    /// Unit vectors of the question and then of each variant, by the recipe's embedder.
    pub vectors: Vec<Vec<f32>>,
}

/// What leads from one version to another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// Documents that are new or changed.
    pub put: Vec<Document>,
    /// Documents that are there no more, and those that `put` replaces.
    pub removed: Vec<DocumentId>,
}

/// The right to build one version of a tenant's knowledge, until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The version that is built. No other build has its number.
    pub version: KnowledgeVersion,
    /// The version that was served when it began, and that it changes.
    pub base: KnowledgeVersion,
}

/// What a build publishes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Work {
    /// Against the build's base. `added` of the documents is the build's version.
    pub change: Change,
    /// The curated answers of the documents that are put.
    pub faq: Vec<FaqEntry>,
    /// Whose vectors the version holds: the embedder's id.
    pub embedder: String,
    /// The ingest that ends with it.
    pub ingest: Option<IngestId>,
}

/// An ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// Its id.
    pub id: IngestId,
    /// How far it is.
    pub state: IngestState,
    /// The version that it became.
    pub version: Option<KnowledgeVersion>,
    /// Documents that went with it.
    pub removed: u32,
    /// When it began.
    pub begun: Timestamp,
}

/// A document of an ingest that is read, or could not be.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// Its file name.
    pub name: String,
    /// Its id.
    pub id: DocumentId,
    /// How it is written.
    pub format: DocumentFormat,
    /// Its original.
    pub original: Original,
    /// Its title, empty if it could not be read.
    pub title: String,
    /// Passages it was cut into.
    pub passages: u32,
    /// How it was cut and embedded.
    pub recipe: String,
    /// What was skipped and why, one line each; at most 20.
    pub warnings: Vec<String>,
    /// Why it could not be read.
    pub failure: Option<Failure>,
    /// In comparison with what was served when it was read.
    pub outcome: Outcome,
}

/// A question that the knowledge did not answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// As the customer put it.
    pub text: String,
    /// Its language.
    pub lang: Lang,
    /// When it was asked.
    pub at: Timestamp,
    /// How likely the best passages were to answer it, 0 to 1.
    pub confidence: f32,
    /// Its vector, and whose it is.
    pub vector: QuantizedVector,
    /// The embedder's id.
    pub embedder: String,
}

impl Staged {
    /// As a document of `version`.
    pub fn document(&self, version: KnowledgeVersion) -> Document {
        let Self { name, id, format, original, title, passages, recipe, .. } = self.clone();
        Document { id, name, title, format, original, passages, recipe, added: version }
    }

    /// The hash of its original.
    pub fn hash(&self) -> &ContentHash {
        &self.original.hash
    }
}
