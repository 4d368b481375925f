//! What was prepared from an original: its passages and their vectors, as the archive keeps them.
//!
//! Format: `fdp1`, the header's length (u32), the header (JSON), then every vector's components (f32), passage by passage: that
//! of the passage, then those of its curated question and the question's variants. All numbers are little-endian.

use crate::index::NewPassage;
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8] = b"fdp1";

/// A document that is ready to be indexed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prepared {
    /// The document's title.
    pub title: String,
    /// In order; at least one.
    pub passages: Vec<NewPassage>,
    /// Of each curated question its other wordings; empty for an ordinary document.
    pub variants: Vec<Vec<String>>,
    /// What was skipped and why.
    pub warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    title: String,
    dimensions: usize,
    passages: Vec<Words>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    variants: Vec<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Words {
    title: String,
    text: String,
    /// Vectors of the curated question and its variants.
    #[serde(default, skip_serializing_if = "is_zero")]
    questions: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Prepared {
    pub fn encode(&self) -> serde_json::Result<Bytes> {
        let words = |passage: &NewPassage| Words {
            title: passage.title.clone(),
            text: passage.text.clone(),
            questions: passage.question.len(),
        };
        let header = Header {
            title: self.title.clone(),
            dimensions: self.passages.first().map_or(0, |passage| passage.vector.len()),
            passages: self.passages.iter().map(words).collect(),
            variants: self.variants.clone(),
            warnings: self.warnings.clone(),
        };
        let header = serde_json::to_vec(&header)?;
        let mut bytes = BytesMut::from(MAGIC);
        bytes.put_u32_le(u32::try_from(header.len()).unwrap_or(u32::MAX));
        bytes.extend_from_slice(&header);
        let vectors =
            self.passages.iter().flat_map(|passage| std::iter::once(&passage.vector).chain(&passage.question));
        vectors.flatten().for_each(|x| bytes.put_f32_le(*x));
        Ok(bytes.freeze())
    }

    /// `None`: these are not the bytes of a whole prepared document with vectors of this length.
    pub fn decode(bytes: &[u8], dimensions: usize) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (header, floats) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let header: Header = serde_json::from_slice(header).ok()?;
        let count: usize = header.passages.iter().map(|words| 1 + words.questions).sum();
        if header.dimensions != dimensions || floats.len() != count.checked_mul(dimensions)?.checked_mul(4)? {
            return None;
        }
        let mut vectors = floats
            .chunks_exact(dimensions.max(1) * 4)
            .map(|row| row.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect::<Vec<f32>>());
        let mut passages = Vec::with_capacity(header.passages.len());
        for Words { title, text, questions } in header.passages {
            let vector = vectors.next()?;
            passages.push(NewPassage { title, text, vector, question: vectors.by_ref().take(questions).collect() });
        }
        Some(Self { title: header.title, passages, variants: header.variants, warnings: header.warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Prepared {
        let passage = |n: f32, question: Vec<Vec<f32>>| NewPassage {
            title: "How?".into(),
            text: "So.".into(),
            vector: vec![n, -n],
            question,
        };
        let passages = vec![passage(1.0, vec![vec![0.5, 0.25], vec![2.0, 3.0]]), passage(4.0, Vec::new())];
        let variants = vec![vec!["In what way?".into()], Vec::new()];
        Prepared { title: "FAQ".into(), passages, variants, warnings: vec!["line 3: no answer".into()] }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = prepared().encode().unwrap();
        assert_eq!(Prepared::decode(&bytes, 2), Some(prepared()));
    }

    #[test]
    fn what_is_damaged_or_of_another_embedder_is_refused() {
        let bytes = prepared().encode().unwrap();
        assert_eq!(Prepared::decode(&bytes, 3), None);
        for end in 0..bytes.len() {
            assert_eq!(Prepared::decode(&bytes[..end], 2), None, "{end} bytes of it");
        }
        assert_eq!(Prepared::decode(b"fdp1\xff\xff\xff\xff{}", 2), None);
    }
}
