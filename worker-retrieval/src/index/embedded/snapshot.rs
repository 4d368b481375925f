//! One state of a tenant's index: what a search sees from its start to its end.

use super::{
    document::{self, Document, Row},
    schema::Fields,
};
use crate::analyzer;
use crate::index::{Found, Query};
use protocol::{DocumentId, DocumentInfo, Passage};
use std::{collections::BTreeMap, sync::Arc};
use tantivy::{
    Searcher, TantivyDocument, Term,
    collector::TopDocs,
    query::{BooleanQuery, Occur, Query as TantivyQuery, TermQuery},
    schema::{Field, IndexRecordOption},
};

/// Text and vectors of one commit.
pub struct Snapshot {
    /// Reads that commit's text.
    pub searcher: Searcher,
    /// Its documents.
    pub documents: BTreeMap<DocumentId, Arc<Document>>,
}

impl Snapshot {
    /// Reads every passage of `searcher` into memory; the error says what is damaged.
    pub fn load(searcher: Searcher, fields: &Fields, dimensions: usize) -> Result<Self, String> {
        let mut rows: BTreeMap<DocumentId, Vec<Row>> = BTreeMap::new();
        for segment in searcher.segment_readers() {
            let store = segment.get_store_reader(1).map_err(|error| error.to_string())?;
            for stored in store.iter::<TantivyDocument>(segment.alive_bitset()) {
                let row = document::read(fields, dimensions, &stored.map_err(|error| error.to_string())?)?;
                rows.entry(row.document.clone()).or_default().push(row);
            }
        }
        let documents = rows.into_iter().map(|(id, rows)| Ok((id, Arc::new(assemble(rows)?))));
        Ok(Self { documents: documents.collect::<Result<_, String>>()?, searcher })
    }

    /// Passages of all documents but `except`.
    pub fn passages(&self, except: Option<&DocumentId>) -> usize {
        self.documents.iter().filter(|(id, _)| Some(*id) != except).map(|(_, document)| document.len()).sum()
    }

    /// The documents by id.
    pub fn list(&self) -> Vec<DocumentInfo> {
        self.documents.values().map(|document| document.info.clone()).collect()
    }

    /// Ranks by text and by vector and finds the closest curated question.
    pub fn search(&self, fields: &Fields, query: Query<'_>) -> tantivy::Result<Found> {
        Ok(Found {
            by_text: self.by_text(fields, query)?,
            by_vector: self.by_vector(query),
            faq: self
                .best(1, |document| document.question_cosines(query.vector))
                .first()
                .and_then(|&(score, document, chunk)| document.faq(chunk, score)),
        })
    }

    fn by_text(&self, fields: &Fields, query: Query<'_>) -> tantivy::Result<Vec<Passage>> {
        let clauses = fields.terms.iter().flat_map(|terms| {
            let words = analyzer::query_terms(terms.script, query.text);
            words.into_iter().flat_map(|word| [clause(terms.title, &word), clause(terms.text, &word)])
        });
        let any = BooleanQuery::new(clauses.collect());
        let hits = self.searcher.search(&any, &TopDocs::with_limit(query.candidates.max(1)).order_by_score())?;
        let mut passages = Vec::with_capacity(hits.len());
        for (score, address) in hits {
            let stored: TantivyDocument = self.searcher.doc(address)?;
            let key = document::key(fields, &stored);
            passages.extend(key.and_then(|(id, chunk)| self.documents.get(&id)?.passage(chunk, score)));
        }
        Ok(passages)
    }

    fn by_vector(&self, query: Query<'_>) -> Vec<Passage> {
        let best = self.best(query.candidates, |document| document.closeness(query.vector));
        best.into_iter().filter_map(|(score, document, chunk)| document.passage(chunk, score)).collect()
    }

    /// The `limit` highest scores, best first; equals in the order of documents and passages.
    fn best<'a, I: Iterator<Item = f32>>(
        &'a self,
        limit: usize,
        scores: impl Fn(&'a Document) -> I,
    ) -> Vec<(f32, &'a Document, usize)> {
        let mut best: Vec<_> = self
            .documents
            .values()
            .flat_map(|document| scores(document).enumerate().map(move |(chunk, score)| (score, &**document, chunk)))
            .collect();
        let descending = |a: &(f32, &Document, usize), b: &(f32, &Document, usize)| {
            b.0.total_cmp(&a.0).then_with(|| (&a.1.info.id, a.2).cmp(&(&b.1.info.id, b.2)))
        };
        if limit < best.len() {
            best.select_nth_unstable_by(limit, descending);
            best.truncate(limit);
        }
        best.sort_by(descending);
        best
    }
}

fn clause(field: Field, word: &str) -> (Occur, Box<dyn TantivyQuery>) {
    let query = TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs);
    (Occur::Should, Box::new(query))
}

fn assemble(mut rows: Vec<Row>) -> Result<Document, String> {
    rows.sort_by_key(|row| row.chunk);
    let complete = rows.iter().enumerate().all(|(expected, row)| row.chunk == expected);
    let info = rows.first_mut().and_then(|row| row.info.take());
    match info {
        Some(info) if complete => Ok(Document::new(info, rows.into_iter().map(|row| row.passage).collect())),
        _ => Err("a document is incomplete".into()),
    }
}
