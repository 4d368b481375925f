//! How a passage lies in tantivy: one tantivy document each, the document's own facts with its first passage.

use crate::analyzer::Script;
use tantivy::schema::{
    Field, IndexRecordOption, STORED, STRING, Schema, SchemaBuilder, TextFieldIndexing, TextOptions,
};

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
    /// What is searched, by script.
    pub terms: [Terms; 2],
    /// Vector of title and text, little-endian f32.
    pub vector: Field,
    /// Vector of the curated question; present on curated answers only.
    pub question: Field,
    /// [`protocol::DocumentInfo`] as JSON; present on passage 0 only.
    pub info: Field,
}

/// The terms of one script.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Which one.
    pub script: Script,
    /// The terms of the title.
    pub title: Field,
    /// The terms of the text.
    pub text: Field,
}

impl Fields {
    /// The one schema of this format.
    pub fn new() -> Self {
        let mut schema = Schema::builder();
        let document = schema.add_text_field("document", STRING | STORED);
        let chunk = schema.add_u64_field("chunk", STORED);
        let title = schema.add_text_field("title", STORED);
        let text = schema.add_text_field("text", STORED);
        let terms = Script::ALL.map(|script| Terms::add(&mut schema, script));
        let vector = schema.add_bytes_field("vector", STORED);
        let question = schema.add_bytes_field("question", STORED);
        let info = schema.add_text_field("info", STORED);
        Self { schema: schema.build(), document, chunk, title, text, terms, vector, question, info }
    }
}

impl Terms {
    fn add(schema: &mut SchemaBuilder, script: Script) -> Self {
        let tokenizer = script.tokenizer();
        let indexing =
            TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(IndexRecordOption::WithFreqs);
        let options = TextOptions::default().set_indexing_options(indexing);
        let title = schema.add_text_field(&format!("title_{tokenizer}"), options.clone());
        let text = schema.add_text_field(&format!("text_{tokenizer}"), options);
        Self { script, title, text }
    }
}
