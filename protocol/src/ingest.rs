//! Documents that are added or changed together, and what became of each.

use crate::{DocumentId, Failure, IngestId, KnowledgeVersion, Timestamp};
use serde::{Deserialize, Serialize};

/// An ingest and some of its documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IngestReport {
    /// Its id.
    pub ingest: IngestId,
    /// How far it is.
    pub state: IngestState,
    /// The version that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<KnowledgeVersion>,
    /// Of its documents so far.
    pub counts: IngestCounts,
    /// A page of its documents, by name.
    pub documents: Vec<DocumentOutcome>,
    /// The next page begins after this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When it began.
    pub begun: Timestamp,
}

/// How far an ingest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IngestState {
    /// It takes documents; none of them is served yet.
    Open,
    /// Its documents are served.
    Published,
    /// It was given up; nothing of it is or will be served.
    Aborted,
}

/// How many documents came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IngestCounts {
    /// Were not known before.
    pub added: u32,
    /// Have other contents than before, or are read in another way.
    pub replaced: u32,
    /// Are as they were.
    pub unchanged: u32,
    /// Are no longer served.
    pub removed: u32,
    /// Could not be read; what was served of them before stays.
    pub failed: u32,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentOutcome {
    /// Its file name.
    pub name: String,
    /// Its id.
    pub document: DocumentId,
    /// In short.
    pub outcome: Outcome,
    /// Passages it was cut into.
    pub passages: u32,
    /// Size of the original in bytes.
    pub bytes: u64,
    /// What was skipped and why, one line each; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What became of one document, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was not known before.
    Added,
    /// It has other contents than before, or is read in another way.
    Replaced,
    /// It is as it was.
    Unchanged,
    /// It could not be read.
    Failed,
}
