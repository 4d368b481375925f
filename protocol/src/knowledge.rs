//! Work on a tenant's documents.

use crate::DocumentId;
use serde::{Deserialize, Serialize};

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
    /// CSV with a header row and the columns `question` and `answer`; others are ignored.
    FaqCsv,
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
