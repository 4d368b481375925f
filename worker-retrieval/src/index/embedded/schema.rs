//! How a passage lies in tantivy: one tantivy document each, the document's own facts with its first passage.

use super::analyzer;
use tantivy::schema::{Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions};

/// The fields of a passage.
#[derive(Debug, Clone)]
pub struct Fields {
    /// All of them.
    pub schema: Schema,
    /// The document's id, by which it is deleted.
    pub document: Field,
    /// Position within the document.
    pub chunk: Field,
    /// What is shown as its title.
    pub title: Field,
    /// What is shown.
    pub text: Field,
    /// The terms of the title.
    pub title_terms: Field,
    /// The terms of the text.
    pub text_terms: Field,
    /// Vector of title and text, little-endian f32.
    pub vector: Field,
    /// Vector of the curated question; present on curated answers only.
    pub question: Field,
    /// [`protocol::DocumentInfo`] as JSON; present on passage 0 only.
    pub info: Field,
}

impl Fields {
    /// The one schema of this format.
    pub fn new() -> Self {
        let mut schema = Schema::builder();
        let indexing =
            TextFieldIndexing::default().set_tokenizer(analyzer::NAME).set_index_option(IndexRecordOption::WithFreqs);
        let terms = TextOptions::default().set_indexing_options(indexing);
        let document = schema.add_text_field("document", STRING | STORED);
        let chunk = schema.add_u64_field("chunk", STORED);
        let title = schema.add_text_field("title", STORED);
        let text = schema.add_text_field("text", STORED);
        let title_terms = schema.add_text_field("title_terms", terms.clone());
        let text_terms = schema.add_text_field("text_terms", terms);
        let vector = schema.add_bytes_field("vector", STORED);
        let question = schema.add_bytes_field("question", STORED);
        let info = schema.add_text_field("info", STORED);
        let schema = schema.build();
        Self { schema, document, chunk, title, text, title_terms, text_terms, vector, question, info }
    }
}
