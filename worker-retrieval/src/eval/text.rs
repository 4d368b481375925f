//! Documents as they are measured.

use super::EvalError;
use crate::{Config, chunk, faq};
use protocol::DocumentFormat;
use serde::Deserialize;

/// A document that was read and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its file name.
    pub name: String,
    /// Titles and texts of its passages, in order; curated questions and answers in a FAQ.
    pub passages: Vec<(String, String)>,
    /// Whether it is a FAQ.
    pub curated: bool,
}

/// A line of a corpus in one file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    document: String,
    text: String,
}

impl Text {
    /// Reads a document; `count` tells a text's length in tokens.
    pub fn read(
        config: &Config,
        count: &dyn Fn(&str) -> usize,
        name: &str,
        format: DocumentFormat,
        content: &str,
    ) -> Result<Self, EvalError> {
        let limits = chunk::Limits { max_tokens: config.chunk_tokens, overlap_tokens: config.chunk_overlap, count };
        let cut = |chunked: chunk::Chunked| chunked.chunks.into_iter().map(|chunk| (chunk.title, chunk.text)).collect();
        let bad = |reason: String| EvalError::Text { name: name.into(), reason };
        let (passages, curated) = match format {
            DocumentFormat::Markdown => (cut(chunk::markdown(name, content, limits)), false),
            DocumentFormat::Text => (cut(chunk::text("", content, limits)), false),
            DocumentFormat::FaqCsv => {
                let entries = faq::parse(content).map_err(bad)?.entries.into_iter();
                (entries.map(|entry| (entry.question, entry.answer)).collect(), true)
            }
            _ => return Err(bad("only Markdown, text and CSV are measured".into())),
        };
        Ok(Self { name: name.into(), passages, curated })
    }

    /// Reads JSON lines `{"document", "text"}`, a document each.
    pub fn read_lines(config: &Config, count: &dyn Fn(&str) -> usize, lines: &str) -> Result<Vec<Self>, EvalError> {
        let read = |(at, line): (usize, &str)| {
            let bad = |error: serde_json::Error| EvalError::Text {
                name: format!("line {}", at + 1),
                reason: error.to_string(),
            };
            let Line { document, text } = serde_json::from_str(line).map_err(bad)?;
            Self::read(config, count, &document, DocumentFormat::Text, &text)
        };
        lines.lines().enumerate().map(read).collect()
    }
}
