//! What tantivy knows of a passage: its row's number and its terms.

use crate::analyzer::Script;
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, SchemaBuilder, TextFieldIndexing, TextOptions};

/// Name of [`Fields::row`].
pub const ROW: &str = "row";

/// The fields of a passage; the passage itself lies in the log.
#[derive(Debug, Clone)]
pub struct Fields {
    /// All of them.
    pub schema: Schema,
    /// The row's number, which no other row ever had.
    pub row: Field,
    /// What is searched, by script.
    pub terms: [Terms; 2],
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
        let row = schema.add_u64_field(ROW, FAST | INDEXED);
        let terms = Script::ALL.map(|script| Terms::add(&mut schema, script));
        Self { schema: schema.build(), row, terms }
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
