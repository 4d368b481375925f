//! From an original's bytes to passages with their vectors.

use crate::{
    Config,
    chunk::{self, Chunk},
    embed::{EmbedError, Embedder},
    faq::Entry,
    index::NewPassage,
    knowledge::Prepared,
    read::{self, Content, Reading, Sandbox},
};
use protocol::{DocumentFormat, DocumentId, ErrorCode, Failure};
use sha2::{Digest, Sha256};

/// Longest name of a document, in bytes.
const MAX_NAME: usize = 255;

/// A document that was read and cut but not yet embedded.
#[derive(Debug)]
pub(crate) struct Draft {
    title: String,
    chunks: Vec<Chunk>,
    /// Other wordings of each curated question; empty for an ordinary document.
    variants: Vec<Vec<String>>,
    is_curated: bool,
    warnings: Vec<String>,
}

/// The id of the document called `name`: the same name is the same document.
pub(crate) fn document_id(name: &str) -> Result<DocumentId, Failure> {
    let hash = Sha256::digest(name.as_bytes());
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    DocumentId::parse(format!("doc-{hex}")).map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
}

/// Refuses what is no document's name.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    if name.trim().is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(Failure::invalid("name", format!("a document's name is 1 to {MAX_NAME} bytes on one line")));
    }
    Ok(())
}

/// Reads and cuts a document. Fails for one that is too large, unreadable or without text.
pub(crate) fn read(
    config: &Config,
    embedder: &dyn Embedder,
    sandbox: &Sandbox,
    name: &str,
    format: DocumentFormat,
    content: &[u8],
) -> Result<Draft, Failure> {
    let limits = read::Limits { bytes: config.max_document_bytes, ..read::Limits::default() };
    let reading = read::read(format, content, &limits, sandbox)?;
    let count = |text: &str| embedder.count_tokens(text);
    let limits = chunk::Limits { max_tokens: config.chunk_tokens, overlap_tokens: config.chunk_overlap, count: &count };
    let chunk::Chunked { title, chunks } = reading.cut(name, limits);
    if chunks.is_empty() {
        return Err(Failure::new(ErrorCode::UnreadableDocument, "the document has no text"));
    }
    if chunks.len() > config.max_document_passages {
        let (found, most) = (chunks.len(), config.max_document_passages);
        let message = format!("the document has {found} passages, at most {most} are accepted; split it");
        return Err(Failure::new(ErrorCode::PayloadTooLarge, message));
    }
    let Reading { content, warnings, .. } = reading;
    let (is_curated, variants) = match content {
        Content::Faq(entries) => (true, entries.into_iter().map(|Entry { variants, .. }| variants).collect()),
        Content::Markdown(_) | Content::Text(_) => (false, Vec::new()),
    };
    Ok(Draft { title, chunks, variants, is_curated, warnings })
}

/// A text could not be embedded.
pub(crate) fn failed(error: EmbedError) -> Failure {
    tracing::error!(%error, "embedding failed");
    Failure::new(ErrorCode::Internal, "the text could not be embedded")
}

impl Draft {
    /// Embeds the passages, `batch` at a time; `go_on` is asked before each batch.
    pub fn embed(
        self,
        embedder: &dyn Embedder,
        batch: usize,
        go_on: impl Fn() -> Result<(), Failure>,
    ) -> Result<Prepared, Failure> {
        let mut passages = Vec::with_capacity(self.chunks.len());
        for chunks in self.chunks.chunks(batch.max(1)) {
            go_on()?;
            let both: Vec<String> = chunks.iter().map(|chunk| format!("{}\n{}", chunk.title, chunk.text)).collect();
            let vectors = embedded(embedder, &both)?;
            passages.extend(chunks.iter().zip(vectors).map(|(chunk, vector)| {
                let Chunk { title, text } = chunk.clone();
                NewPassage { title, text, vector, question: Vec::new() }
            }));
        }
        if self.is_curated {
            for (passage, variants) in passages.iter_mut().zip(&self.variants) {
                go_on()?;
                let wordings: Vec<String> = std::iter::once(&passage.title).chain(variants).cloned().collect();
                passage.question = embedded(embedder, &wordings)?;
            }
        }
        Ok(Prepared { title: self.title, passages, variants: self.variants, warnings: self.warnings })
    }
}

fn embedded(embedder: &dyn Embedder, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
    embedder.embed_passages(&texts.iter().map(String::as_str).collect::<Vec<_>>()).map_err(failed)
}
