//! Work on a tenant's documents.

use crate::{ContentHash, DocumentId, IngestId, Lang, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// Counts the states of a tenant's knowledge from 1; 0 is that of a tenant to whom nothing was ever published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnowledgeVersion(pub u64);

/// A document's original, which lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Under this name.
    pub hash: ContentHash,
    /// Its size.
    pub bytes: u64,
}

/// Change or list a tenant's documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum KnowledgeJob {
    /// Add a document, or replace the one of the same name.
    Put {
        /// Its file name; it decides the id.
        name: String,
        /// How to read `content`.
        format: DocumentFormat,
        /// The document itself.
        content: String,
    },
    /// Read a document whose original lies in the archive. Within an ingest it is served when that is published, else at once.
    Add {
        /// Its file name; it decides the id.
        name: String,
        /// How to read it.
        format: DocumentFormat,
        /// Where it is.
        original: Original,
        /// Of which ingest it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ingest: Option<IngestId>,
    },
    /// Begin an ingest under this id, which the caller has drawn at random.
    Begin {
        /// Its id.
        ingest: IngestId,
    },
    /// Serve an ingest's documents, all at once, in the place of those of the same names.
    Publish {
        /// Which one.
        ingest: IngestId,
        /// Whether documents that the ingest does not name are removed.
        remove_others: bool,
    },
    /// Give an ingest up.
    Abort {
        /// Which one.
        ingest: IngestId,
    },
    /// How far an ingest is.
    Progress {
        /// Which one.
        ingest: IngestId,
        /// Only documents after this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// The versions that are kept, newest first.
    Versions,
    /// Serve an earlier version again.
    Rollback {
        /// Which one; absent: the one before the served one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<KnowledgeVersion>,
    },
    /// Build the index anew from the catalogue and the archive, as a version of its own.
    Rebuild,
    /// Questions that the knowledge did not answer, those that are asked most first.
    Unanswered,
    /// Forget unanswered questions up to this instant.
    Dismiss {
        /// That of the last one that was seen.
        until: Timestamp,
    },
    /// Remove a document; removing what is not there fails with `document_not_found`.
    Delete {
        /// Which one.
        document: DocumentId,
    },
    /// List the documents by id.
    List,
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentFormat {
    /// CommonMark; headings become the passages' titles.
    Markdown,
    /// Plain text.
    Text,
    /// A web page; what it shows, without scripts, styles and navigation.
    Html,
    /// A PDF with text in it.
    Pdf,
    /// A Word document.
    Docx,
    /// CSV with a header row and the columns `question` and `answer`; `variants`, other wordings of the question parted by
    /// `|`, may follow; others are ignored.
    FaqCsv,
    /// JSON lines `{"question", "answer", "variants": []}`; other fields are ignored.
    FaqJsonl,
}

/// A document in a tenant's knowledge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentInfo {
    /// Its id.
    pub id: DocumentId,
    /// Its file name.
    pub name: String,
    /// Its first heading, else its name.
    pub title: String,
    /// How it is written.
    pub format: DocumentFormat,
    /// Number of passages it was cut into.
    pub passages: u32,
    /// Size of the original in bytes.
    pub bytes: u64,
}

/// The outcome of adding a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentReport {
    /// What is now known of it.
    pub document: DocumentInfo,
    /// Whether a document of the same name was replaced.
    pub replaced: bool,
    /// What was skipped and why, one line each; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A version of a tenant's knowledge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its number.
    pub version: KnowledgeVersion,
    /// The version that it changed.
    pub base: KnowledgeVersion,
    /// When it was published.
    pub published: Timestamp,
    /// Whose vectors it holds: the embedder's id.
    pub embedder: String,
    /// Documents in it.
    pub documents: u32,
    /// Their passages.
    pub passages: u32,
    /// Whether customers are answered from it.
    pub served: bool,
}

/// Broadcast when a tenant is served from another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnowledgeNews {
    /// Whose knowledge.
    pub tenant: TenantId,
    /// The version that is served now.
    pub version: KnowledgeVersion,
}

/// Questions of one meaning that the knowledge did not answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnansweredQuestion {
    /// The one that is closest to all.
    pub question: String,
    /// Its language.
    pub lang: Lang,
    /// How often it was asked, in any wording.
    pub count: u32,
    /// When it was asked last.
    pub last: Timestamp,
    /// How likely the best passages were to answer it, 0 to 1, at best.
    pub confidence: f32,
    /// Other wordings; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wordings: Vec<String>,
}
