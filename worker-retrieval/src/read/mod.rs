//! Turns a document's bytes into text that can be cut, or into curated questions.
//!
//! Text comes as Markdown where the format knows headings. Whatever the bytes are, the outcome is a text or a failure that
//! says what to do: sizes, depths and pages are bounded by [`Limits`], and PDF is read in a process of its own ([`Sandbox`]).

mod archive;
pub mod confine;
mod docx;
pub mod encoding;
mod html;
mod markdown;
mod pdf;
mod sandbox;

pub use sandbox::Sandbox;

use crate::{chunk, faq};
use protocol::{DocumentFormat, ErrorCode, Failure};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Counts the changes of what is read from the same bytes; passages of another version are made anew.
pub const VERSION: u32 = 1;

/// Warnings kept at most; what comes after them is counted.
pub const MAX_WARNINGS: usize = 20;

/// What reading one document may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the document in bytes.
    pub bytes: usize,
    /// Size of what it unpacks to, and of its text, in bytes.
    pub unpacked: usize,
    /// Pages of a PDF.
    pub pages: usize,
    /// Memory of the process that reads a PDF, in bytes, beside what it has when it starts.
    pub memory: u64,
    /// Time for a PDF.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 32 << 20, unpacked: 64 << 20, pages: 5000, memory: 1 << 30, time: Duration::from_secs(60) }
    }
}

/// What a document holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// CommonMark with tables.
    Markdown(String),
    /// Plain text.
    Text(String),
    /// Curated questions.
    Faq(Vec<faq::Entry>),
}

/// A document that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What it calls itself, where no heading does.
    pub title: Option<String>,
    /// What it holds; never empty.
    pub content: Content,
    /// What was skipped or guessed, one line each; at most [`MAX_WARNINGS`].
    pub warnings: Vec<String>,
}

impl Reading {
    /// Cuts it into passages; a curated question is the title of its answer. `name` is the title where nothing else is.
    pub fn cut(&self, name: &str, limits: chunk::Limits<'_>) -> chunk::Chunked {
        let name = self.title.as_deref().unwrap_or(name);
        match &self.content {
            Content::Markdown(source) => chunk::markdown(name, source, limits),
            Content::Text(source) => chunk::text(name, source, limits),
            Content::Faq(entries) => {
                let chunk =
                    |entry: &faq::Entry| chunk::Chunk { title: entry.question.clone(), text: entry.answer.clone() };
                chunk::Chunked { title: name.into(), chunks: entries.iter().map(chunk).collect() }
            }
        }
    }
}

/// Reads a document. Blocks, for a PDF up to the limit of time.
///
/// Fails with `payload_too_large` for one that is larger than the limits, else with `unreadable_document`.
pub fn read(format: DocumentFormat, bytes: &[u8], limits: &Limits, sandbox: &Sandbox) -> Result<Reading, Failure> {
    if bytes.len() > limits.bytes {
        let (found, most) = (bytes.len(), limits.bytes);
        return Err(too_large(format!("the document has {found} bytes, at most {most} are accepted; split it")));
    }
    if bytes.is_empty() {
        return Err(unreadable("the document is empty (0 bytes)"));
    }
    let reading = match format {
        DocumentFormat::Pdf => sandbox.read_pdf(bytes, limits)?,
        _ => read_here(format, bytes, limits)?,
    };
    let text = match &reading.content {
        Content::Markdown(text) | Content::Text(text) => text,
        Content::Faq(_) => return Ok(reading),
    };
    if text.trim().is_empty() { Err(unreadable("the document has no text")) } else { Ok(reading) }
}

fn read_here(format: DocumentFormat, bytes: &[u8], limits: &Limits) -> Result<Reading, Failure> {
    match format {
        DocumentFormat::Markdown => decoded(bytes, |text| Ok(plainly(Content::Markdown(text)))),
        DocumentFormat::Text => decoded(bytes, |text| Ok(plainly(Content::Text(text)))),
        DocumentFormat::FaqCsv => decoded(bytes, |text| faq::parse(&text).map(curated).map_err(unreadable)),
        DocumentFormat::FaqJsonl => decoded(bytes, |text| faq::parse_lines(&text).map(curated).map_err(unreadable)),
        DocumentFormat::Html => html::read(bytes),
        DocumentFormat::Docx => docx::read(bytes, limits),
        DocumentFormat::Pdf => pdf::read(bytes, limits),
    }
}

fn decoded(bytes: &[u8], parse: impl FnOnce(String) -> Result<Reading, Failure>) -> Result<Reading, Failure> {
    let (text, warning) = encoding::decode(bytes, None)?;
    let mut reading = parse(text)?;
    reading.warnings.splice(0..0, warning);
    reading.warnings.truncate(MAX_WARNINGS);
    Ok(reading)
}

fn plainly(content: Content) -> Reading {
    Reading { title: None, content, warnings: Vec::new() }
}

fn curated(faq: faq::Faq) -> Reading {
    Reading { title: None, content: Content::Faq(faq.entries), warnings: faq.warnings }
}

fn unreadable(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::UnreadableDocument, message)
}

fn too_large(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::PayloadTooLarge, message)
}

#[cfg(test)]
mod tests;
