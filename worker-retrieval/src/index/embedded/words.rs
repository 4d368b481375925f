//! The words of a tenant's rows, in tantivy.

use super::{
    rows::Rows,
    schema::{Fields, ROW},
};
use crate::{
    analyzer::{self, Script},
    index::NewPassage,
};
use std::path::Path;
use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, SegmentReader, TantivyDocument, TantivyError, Term,
    directory::MmapDirectory,
    query::{BooleanQuery, EnableScoring, Occur, Query, TermQuery},
    schema::{Field, IndexRecordOption},
};

/// Memory of a writer before it flushes to disk; tantivy takes no less.
const WRITER_BYTES: usize = 15_000_000;
/// A document that is no row.
const NONE: u32 = u32::MAX;

/// The open index of words.
pub struct Words {
    fields: Fields,
    index: Index,
    reader: IndexReader,
}

/// One commit, and where its documents are among the rows.
pub struct Lookup {
    searcher: Searcher,
    /// By segment and document.
    positions: Vec<Vec<u32>>,
    /// Numbers of documents that are no rows: what crashes and undone versions left.
    pub strangers: Vec<u64>,
    /// No document has this number or a higher one.
    pub next: u64,
}

impl Words {
    /// Opens or creates it in `path`, which exists.
    pub fn open(path: &Path) -> tantivy::Result<Self> {
        let fields = Fields::new();
        let directory = MmapDirectory::open(path)?;
        let index = Index::open_or_create(directory, fields.schema.clone())?;
        for script in Script::ALL {
            index.tokenizers().register(script.tokenizer(), script.analyzer());
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { fields, index, reader })
    }

    /// A writer; it lives for one build, so that its threads and memory are not kept for every open tenant.
    pub fn writer(&self) -> tantivy::Result<IndexWriter> {
        self.index.writer_with_num_threads(1, WRITER_BYTES)
    }

    /// Adds the words of row `number`.
    pub fn add(&self, writer: &IndexWriter, number: u64, passage: &NewPassage) -> tantivy::Result<()> {
        let mut document = TantivyDocument::default();
        document.add_u64(self.fields.row, number);
        let (title, text) = (analyzer::normalize(&passage.title), analyzer::normalize(&passage.text));
        for terms in &self.fields.terms {
            document.add_text(terms.title, &title);
            document.add_text(terms.text, &text);
        }
        writer.add_document(document).map(|_| ())
    }

    /// Removes the words of rows.
    pub fn remove(&self, writer: &IndexWriter, numbers: &[u64]) {
        for number in numbers {
            writer.delete_term(Term::from_field_u64(self.fields.row, *number));
        }
    }

    /// Makes what the writer was given durable and merges small segments.
    pub fn commit(&self, mut writer: IndexWriter) -> tantivy::Result<()> {
        writer.commit()?;
        if let Err(error) = writer.wait_merging_threads() {
            tracing::warn!(%error, "merging index segments failed; the change itself is safe");
        }
        self.reader.reload()
    }

    /// The last commit; fails if it lacks one of the `rows`.
    pub fn lookup(&self, rows: &Rows) -> tantivy::Result<Lookup> {
        let searcher = self.reader.searcher();
        let mut lookup = Lookup { searcher, positions: Vec::new(), strangers: Vec::new(), next: 0 };
        let mut known = 0;
        for segment in lookup.searcher.segment_readers() {
            let numbers = segment.fast_fields().u64(ROW)?;
            let mut positions = vec![NONE; segment.max_doc() as usize];
            for document in segment.doc_ids_alive() {
                let number = numbers.first(document).unwrap_or(u64::MAX - 1);
                lookup.next = lookup.next.max(number + 1);
                match rows.position(number) {
                    Some(at) => (positions[document as usize], known) = (at as u32, known + 1),
                    None => lookup.strangers.push(number),
                }
            }
            lookup.positions.push(positions);
        }
        if known < rows.rows.len() {
            let missing = format!("the words of {} passages are missing", rows.rows.len() - known);
            return Err(TantivyError::InternalError(missing));
        }
        Ok(lookup)
    }

    /// What finds rows by the words of `text`; a row's score is the sum of its terms' BM25 in title and text.
    pub fn query(&self, text: &str) -> BooleanQuery {
        let clauses = self.fields.terms.iter().flat_map(|terms| {
            let words = analyzer::query_terms(terms.script, text);
            words.into_iter().flat_map(|word| [clause(terms.title, &word), clause(terms.text, &word)])
        });
        BooleanQuery::new(clauses.collect())
    }
}

fn clause(field: Field, word: &str) -> (Occur, Box<dyn Query>) {
    let query = TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs);
    (Occur::Should, Box::new(query))
}

impl Lookup {
    /// Forgets rows from position `rows` on; their documents are strangers at the next commit.
    pub fn forget(&mut self, rows: usize) {
        let positions = self.positions.iter_mut().flatten();
        positions.filter(|at| **at as usize >= rows).for_each(|at| *at = NONE);
    }

    /// Calls `offer` with score and position of rows that `query` finds, and goes on with those that score higher than what
    /// it returns.
    pub fn each(&self, query: &BooleanQuery, mut offer: impl FnMut(f32, u32) -> f32) -> tantivy::Result<()> {
        let weight = query.weight(EnableScoring::enabled_from_searcher(&self.searcher))?;
        let mut threshold = f32::MIN;
        for (segment, positions) in self.searcher.segment_readers().iter().zip(&self.positions) {
            let segment: &SegmentReader = segment;
            weight.for_each_pruning(threshold, segment, &mut |document, score| {
                match positions.get(document as usize) {
                    Some(&at) if at != NONE => threshold = offer(score, at),
                    _ => {}
                }
                threshold
            })?;
        }
        Ok(())
    }
}
