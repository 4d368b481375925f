//! Work for a retrieval worker, and what it finds.

use crate::{DocumentId, KnowledgeVersion, Lang, QuantizedVector};
use serde::{Deserialize, Serialize};

/// Find what the tenant knows about `query`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetrievalJob {
    /// The customer's question.
    pub query: String,
    /// Its language.
    pub lang: Lang,
    /// At most this many passages.
    pub top_k: u16,
    /// What the customer asked before; a question that is not understood by itself is looked up together with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Whether the question's vector is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_vector: bool,
}

impl RetrievalJob {
    /// A question of its own.
    pub fn new(query: impl Into<String>, lang: Lang, top_k: u16) -> Self {
        Self { query: query.into(), lang, top_k, context: None, wants_vector: false }
    }
}

/// What a tenant's knowledge holds about a question.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Retrieved {
    /// Best first.
    pub passages: Vec<Passage>,
    /// The best curated question and answer, whatever its score; the session decides whether to give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faq: Option<FaqMatch>,
    /// From which version of the tenant's knowledge this is.
    #[serde(default)]
    pub version: KnowledgeVersion,
    /// How likely the passages answer the question, 0 to 1, as calibrated; absent: not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The question's vector, where it was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<QuantizedVector>,
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The document it is from.
    pub document: DocumentId,
    /// Position within the document, from 0.
    pub chunk: u32,
    /// The document's title and the headings above the passage, or a curated question.
    pub title: String,
    /// The passage itself.
    pub text: String,
    /// Fused relevance, higher is better; comparable within one reply only.
    pub score: f32,
}

/// A curated question and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaqMatch {
    /// The document it is from.
    pub document: DocumentId,
    /// Position within the document, from 0.
    pub chunk: u32,
    /// The curated question.
    pub question: String,
    /// The curated answer.
    pub answer: String,
    /// Cosine similarity of the customer's question and the curated one, -1 to 1.
    pub score: f32,
    /// How likely this answers the question, 0 to 1, as calibrated on words and meaning.
    #[serde(default)]
    pub confidence: f32,
}
