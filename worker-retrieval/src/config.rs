//! Section `[retrieval]` of the configuration.

use crate::read::Sandbox;
use runtime::config::Problem;
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, path::PathBuf};

/// How a retrieval worker works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where passages are kept: `embedded:` (in `<data_dir>/index`), `embedded:<directory>`, or the address of a Meilisearch
    /// server, `http://…` or `https://…`.
    pub index: String,
    /// The Meilisearch server's key, one that may create keys; empty: it asks for none.
    pub index_key: String,
    /// What turns text into vectors: `fastembed:<directory in models_dir>`, `fastembed:<for Chinese>+<for the rest>`, or
    /// `hashing:` for tests.
    pub embedder: String,
    /// Threads of one embedding; 0: one per core.
    pub threads: usize,
    /// Passages embedded between two looks at the job's deadline.
    pub batch: usize,
    /// Longest passage, in the embedder's tokens.
    pub chunk_tokens: usize,
    /// Tokens at a passage's start that repeat the one before it, in whole sentences.
    pub chunk_overlap: usize,
    /// Largest document, in bytes.
    pub max_document_bytes: usize,
    /// Most passages of one document.
    pub max_document_passages: usize,
    /// Most passages of one tenant; their vectors are held in memory.
    pub max_tenant_passages: usize,
    /// Searches done at once.
    pub concurrency: usize,
    /// Documents ingested at once, each of another tenant.
    pub ingest_concurrency: usize,
    /// Versions of each tenant's knowledge that are kept, the served one included.
    pub keep_versions: usize,
    /// A question is kept for the knowledge's keepers when its passages answer it with less than this confidence, 0 to 1.
    pub unanswered_below: f32,
    /// Unanswered questions that are kept of each tenant; 0: none.
    pub unanswered_questions: usize,
    /// Tenants whose index stays open.
    pub open_tenants: usize,
    /// How long running jobs may go on after the process was told to stop, in milliseconds.
    pub drain_ms: u64,
}

/// Where files are, and are read.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// What the process writes.
    pub data: PathBuf,
    /// Models and the ONNX Runtime library.
    pub models: PathBuf,
    /// Where documents are read that may be hostile.
    pub reader: Sandbox,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            index: "embedded:".into(),
            index_key: String::new(),
            embedder: "fastembed:bge-small-zh-v1.5+all-MiniLM-L6-v2".into(),
            threads: 0,
            batch: 16,
            chunk_tokens: 220,
            chunk_overlap: 40,
            max_document_bytes: 32 << 20,
            max_document_passages: 20_000,
            max_tenant_passages: 200_000,
            concurrency: 8,
            ingest_concurrency: 2,
            keep_versions: 3,
            unanswered_below: 0.5,
            unanswered_questions: 10_000,
            open_tenants: 64,
            drain_ms: 20_000,
        }
    }
}

impl Config {
    /// Every value that is not acceptable.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut within = |key: &str, value: usize, range: RangeInclusive<usize>| {
            if !range.contains(&value) {
                let expected = format!("a number from {} to {}", range.start(), range.end());
                problems.push(Problem::new(&format!("retrieval.{key}"), value, &expected));
            }
        };
        within("threads", self.threads, 0..=256);
        within("batch", self.batch, 1..=256);
        within("chunk_tokens", self.chunk_tokens, 32..=480);
        within("chunk_overlap", self.chunk_overlap, 0..=self.chunk_tokens / 2);
        within("max_document_bytes", self.max_document_bytes, 1..=256 << 20);
        within("max_document_passages", self.max_document_passages, 1..=1_000_000);
        within("max_tenant_passages", self.max_tenant_passages, 1..=10_000_000);
        within("concurrency", self.concurrency, 1..=256);
        within("ingest_concurrency", self.ingest_concurrency, 1..=64);
        within("keep_versions", self.keep_versions, 2..=1_000);
        within("unanswered_questions", self.unanswered_questions, 0..=1_000_000);
        within("open_tenants", self.open_tenants, 1..=10_000);
        within("drain_ms", usize::try_from(self.drain_ms).unwrap_or(usize::MAX), 0..=600_000);
        if !(self.embedder == "hashing:"
            || self.embedder.strip_prefix("fastembed:").is_some_and(|name| !name.is_empty()))
        {
            let expected =
                "fastembed:<directory in models_dir>, fastembed:<for Chinese>+<for the rest>, or hashing: for tests";
            problems.push(Problem::new("retrieval.embedder", &self.embedder, expected));
        }
        if !(0.0..=1.0).contains(&self.unanswered_below) {
            let expected = "a number from 0 to 1";
            problems.push(Problem::new("retrieval.unanswered_below", self.unanswered_below, expected));
        }
        if !["embedded:", "http://", "https://"].iter().any(|scheme| self.index.starts_with(scheme)) {
            let expected =
                "embedded:, embedded:<directory>, or the address of a Meilisearch server (http://…, https://…)";
            problems.push(Problem::new("retrieval.index", &self.index, expected));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_acceptable_and_each_problem_names_its_key() {
        assert_eq!(Config::default().problems(), []);
        let config = Config {
            batch: 0,
            chunk_overlap: 111,
            embedder: "fastembed:".into(),
            index: "ftp://127.0.0.1:7700".into(),
            ..Config::default()
        };
        let keys: Vec<_> = config.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["retrieval.batch", "retrieval.chunk_overlap", "retrieval.embedder", "retrieval.index"]);
    }
}
