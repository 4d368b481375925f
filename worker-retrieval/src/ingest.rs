//! A document on its way into the index: read, cut, embedded.

use crate::{
    Config,
    chunk::{self, Chunk, Chunked},
    embed::{EmbedError, Embedder},
    faq,
    index::{NewDocument, NewPassage},
};
use protocol::{DocumentFormat, DocumentId, DocumentInfo, ErrorCode, Failure};
use sha2::{Digest, Sha256};

/// Longest name of a document, in bytes.
const MAX_NAME: usize = 255;

/// A document that was read but not yet embedded.
#[derive(Debug)]
pub struct Draft {
    /// What is known of it.
    pub info: DocumentInfo,
    chunks: Vec<Chunk>,
    curated: bool,
    /// What was skipped and why.
    pub warnings: Vec<String>,
}

/// The id of the document called `name`: the same name is the same document.
pub fn document_id(name: &str) -> Result<DocumentId, Failure> {
    let hash = Sha256::digest(name.as_bytes());
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    DocumentId::parse(format!("doc-{hex}")).map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
}

/// Reads and cuts a document. Fails for one that is too large, unreadable or without text.
pub fn read(
    config: &Config,
    embedder: &dyn Embedder,
    name: &str,
    format: DocumentFormat,
    content: &str,
) -> Result<Draft, Failure> {
    check(config, name, content)?;
    let count = |text: &str| embedder.count_tokens(text);
    let limits = chunk::Limits { max_tokens: config.chunk_tokens, overlap_tokens: config.chunk_overlap, count: &count };
    let (chunked, warnings) = match format {
        DocumentFormat::Markdown => (chunk::markdown(name, content, limits), Vec::new()),
        DocumentFormat::Text => (chunk::text(name, content, limits), Vec::new()),
        DocumentFormat::FaqCsv => curated(name, content)?,
        _ => return Err(unreadable("this build does not read the format; send Markdown, text or CSV")),
    };
    let Chunked { title, chunks } = chunked;
    if chunks.is_empty() {
        return Err(unreadable("the document has no text"));
    }
    if chunks.len() > config.max_document_passages {
        let (found, most) = (chunks.len(), config.max_document_passages);
        let message = format!("the document has {found} passages, at most {most} are accepted; split it");
        return Err(Failure::new(ErrorCode::PayloadTooLarge, message));
    }
    let passages = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let info = DocumentInfo {
        id: document_id(name)?,
        name: name.into(),
        title,
        format,
        passages,
        bytes: content.len() as u64,
    };
    Ok(Draft { info, chunks, curated: format == DocumentFormat::FaqCsv, warnings })
}

fn check(config: &Config, name: &str, content: &str) -> Result<(), Failure> {
    if name.trim().is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(Failure::invalid("name", format!("a document's name is 1 to {MAX_NAME} bytes on one line")));
    }
    if content.len() > config.max_document_bytes {
        let (found, most) = (content.len(), config.max_document_bytes);
        let message = format!("the document has {found} bytes, at most {most} are accepted; split it");
        return Err(Failure::new(ErrorCode::PayloadTooLarge, message));
    }
    if content.contains('\0') {
        return Err(unreadable("the document holds NUL bytes, so it is no text; convert it to UTF-8 text first"));
    }
    Ok(())
}

fn curated(name: &str, content: &str) -> Result<(Chunked, Vec<String>), Failure> {
    let faq = faq::parse(content).map_err(unreadable)?;
    let chunks = faq.entries.into_iter().map(|entry| Chunk { title: entry.question, text: entry.answer });
    Ok((Chunked { title: name.into(), chunks: chunks.collect() }, faq.warnings))
}

fn unreadable(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::UnreadableDocument, message)
}

/// A text could not be embedded.
pub fn failed(error: EmbedError) -> Failure {
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
    ) -> Result<NewDocument, Failure> {
        let mut passages = Vec::with_capacity(self.chunks.len());
        for chunks in self.chunks.chunks(batch.max(1)) {
            go_on()?;
            let both: Vec<String> = chunks.iter().map(|chunk| format!("{}\n{}", chunk.title, chunk.text)).collect();
            let vectors = embedder.embed_passages(&both.iter().map(String::as_str).collect::<Vec<_>>());
            let vectors = vectors.map_err(failed)?;
            let titles: Vec<&str> = chunks.iter().map(|chunk| chunk.title.as_str()).collect();
            let questions = if self.curated { embedder.embed_passages(&titles).map_err(failed)? } else { Vec::new() };
            let mut questions = questions.into_iter();
            passages.extend(chunks.iter().zip(vectors).map(|(chunk, vector)| {
                let Chunk { title, text } = chunk.clone();
                NewPassage { title, text, vector, question: questions.next().into_iter().collect() }
            }));
        }
        Ok(NewDocument { id: self.info.id, passages })
    }
}
