//! Rows and what they stand for.

use super::Fault;
use crate::{CatalogError, Document, FaqEntry, Ingest, Question, Staged};
use protocol::{ContentHash, DocumentId, IngestId, KnowledgeVersion, Lang, Original, TenantId, Timestamp, VersionInfo};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, any::AnyRow};

/// What is damaged in a database that Frontdesk wrote.
fn damaged(what: &str) -> Fault {
    CatalogError::Unusable(format!("it holds what Frontdesk did not write: {what}")).into()
}

/// A number as a database holds it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| damaged(&error.to_string()))
}

/// The name of an enum's unit variant.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, Fault> {
    json(value).map(|text| text.trim_matches('"').to_owned())
}

/// A column of text. What MySQL compares by bytes it also gives as bytes.
pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, Fault> {
    match row.try_get::<String, _>(column) {
        Ok(text) => Ok(text),
        Err(_) => String::from_utf8(row.try_get(column)?).map_err(|_| damaged(column)),
    }
}

pub(super) fn number<T: TryFrom<i64>>(row: &AnyRow, column: &str) -> Result<T, Fault> {
    T::try_from(row.try_get::<i64, _>(column)?).map_err(|_| damaged(column))
}

pub(super) fn version(row: &AnyRow, column: &str) -> Result<KnowledgeVersion, Fault> {
    number(row, column).map(KnowledgeVersion)
}

fn parsed<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, Fault> {
    serde_json::from_str(&text(row, column)?).map_err(|_| damaged(column))
}

pub(super) fn enumerated<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, Fault> {
    serde_json::from_value(text(row, column)?.into()).map_err(|_| damaged(column))
}

pub(super) fn document_id(row: &AnyRow) -> Result<DocumentId, Fault> {
    DocumentId::parse(text(row, "document")?).map_err(|_| damaged("document"))
}

pub(super) fn hash(row: &AnyRow) -> Result<ContentHash, Fault> {
    ContentHash::parse(text(row, "original")?).map_err(|_| damaged("original"))
}

fn original(row: &AnyRow) -> Result<Original, Fault> {
    Ok(Original { hash: hash(row)?, bytes: number(row, "bytes")? })
}

pub(super) fn document(row: &AnyRow) -> Result<Document, Fault> {
    Ok(Document {
        id: document_id(row)?,
        name: text(row, "name")?,
        title: text(row, "title")?,
        format: enumerated(row, "format")?,
        original: original(row)?,
        passages: number(row, "passages")?,
        recipe: text(row, "recipe")?,
        added: version(row, "added")?,
    })
}

pub(super) fn faq(row: &AnyRow) -> Result<FaqEntry, Fault> {
    Ok(FaqEntry {
        document: document_id(row)?,
        position: number(row, "position")?,
        question: text(row, "question")?,
        variants: parsed(row, "variants")?,
        answer: text(row, "answer")?,
        vectors: vectors(&row.try_get::<Vec<u8>, _>("vectors")?, number(row, "dimensions")?),
    })
}

/// Vectors one after another, little-endian.
fn vectors(bytes: &[u8], dimensions: usize) -> Vec<Vec<f32>> {
    let vector = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    bytes.chunks_exact(4 * dimensions.max(1)).map(vector).collect()
}

/// The opposite of [`vectors`]: how many dimensions, and the bytes.
pub(super) fn blob(vectors: &[Vec<f32>]) -> Result<(i64, Vec<u8>), Fault> {
    let dimensions = vectors.first().map_or(0, Vec::len);
    if vectors.iter().any(|vector| vector.len() != dimensions) {
        return Err(CatalogError::Unusable("vectors of different lengths in one curated answer".into()).into());
    }
    Ok((int(dimensions as u64), vectors.iter().flatten().flat_map(|x| x.to_le_bytes()).collect()))
}

pub(super) fn version_info(row: &AnyRow) -> Result<VersionInfo, Fault> {
    let (version, served) = (version(row, "version")?, version(row, "served")?);
    Ok(VersionInfo {
        version,
        base: self::version(row, "base")?,
        published: Timestamp(number(row, "published")?),
        embedder: text(row, "embedder")?,
        documents: number(row, "documents")?,
        passages: number(row, "passages")?,
        served: version == served,
    })
}

pub(super) fn ingest(row: &AnyRow) -> Result<Ingest, Fault> {
    Ok(Ingest {
        id: IngestId::parse(text(row, "ingest")?).map_err(|_| damaged("ingest"))?,
        state: enumerated(row, "state")?,
        version: Some(version(row, "version")?).filter(|version| version.0 > 0),
        removed: number(row, "removed")?,
        begun: Timestamp(number(row, "begun")?),
    })
}

pub(super) fn staged(row: &AnyRow) -> Result<Staged, Fault> {
    Ok(Staged {
        name: text(row, "name")?,
        id: document_id(row)?,
        format: enumerated(row, "format")?,
        original: original(row)?,
        title: text(row, "title")?,
        passages: number(row, "passages")?,
        recipe: text(row, "recipe")?,
        warnings: parsed(row, "warnings")?,
        failure: parsed(row, "failure")?,
        outcome: enumerated(row, "outcome")?,
    })
}

pub(super) fn question(row: &AnyRow) -> Result<Question, Fault> {
    Ok(Question {
        text: text(row, "question")?,
        lang: Lang::parse(&text(row, "lang")?).map_err(|_| damaged("lang"))?,
        at: Timestamp(number(row, "asked")?),
        confidence: row.try_get::<f64, _>("confidence")? as f32,
        vector: parsed(row, "quantized")?,
        embedder: text(row, "embedder")?,
    })
}

pub(super) fn tenant(row: &AnyRow) -> Result<TenantId, Fault> {
    TenantId::parse(text(row, "tenant")?).map_err(|_| damaged("tenant"))
}
