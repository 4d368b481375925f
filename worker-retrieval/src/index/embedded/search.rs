//! A search of one version.

use super::{
    best::Best,
    blocks::Blocks,
    record,
    rows::{Row, Rows},
    words::Words,
};
use crate::index::{Found, Query};
use protocol::{KnowledgeVersion, Passage};
use std::{fs::File, io, os::unix::fs::FileExt, thread};
use tantivy::TantivyError;

/// With more vectors than this, words and vectors are searched on two threads; below, the second costs more than it saves.
const LARGE: usize = 16_384;
/// Rows that are compared exactly, at least, and per row that is wanted: more than quantized cosines can confuse.
const EXACT: (usize, usize) = (200, 4);

/// What a search reads.
pub struct Search<'a> {
    /// The rows.
    pub rows: &'a Rows,
    /// Their log.
    pub log: &'a File,
    /// Their words.
    pub words: &'a Words,
    /// How their vectors lie.
    pub blocks: Blocks,
    /// What is asked for.
    pub version: KnowledgeVersion,
}

impl Search<'_> {
    /// Ranks by words and by meaning.
    pub fn run(&self, query: Query<'_>) -> tantivy::Result<Found> {
        let (by_text, by_vector) = if self.rows.matrix.len() > LARGE {
            thread::scope(|scope| {
                let other = thread::Builder::new().spawn_scoped(scope, || self.by_vector(query));
                let by_text = self.by_text(query);
                let died = |_| Err(TantivyError::ErrorInThread("the vectors' search panicked".into()));
                (by_text, other.map_or_else(|_| self.by_vector(query), |other| other.join().unwrap_or_else(died)))
            })
        } else {
            (self.by_text(query), self.by_vector(query))
        };
        Ok(Found { by_text: by_text?, by_vector: by_vector? })
    }

    fn is_there(&self, at: u32) -> bool {
        self.rows.rows.get(at as usize).is_some_and(|row| row.is_in(self.version))
    }

    fn by_text(&self, query: Query<'_>) -> tantivy::Result<Vec<Passage>> {
        let Some(lookup) = &self.rows.lookup else { return Ok(Vec::new()) };
        let mut best = Best::new(query.candidates.max(1));
        lookup.each(&self.words.query(query.text), |score, at| {
            if self.is_there(at) {
                best.offer(score, at);
            }
            best.threshold().max(f32::MIN)
        })?;
        self.passages(best.into_sorted())
    }

    fn by_vector(&self, query: Query<'_>) -> tantivy::Result<Vec<Passage>> {
        let mut close = Best::new(EXACT.0.max(EXACT.1 * query.candidates));
        self.rows.matrix.scan(query.vector, |cosine, at| {
            if cosine > close.threshold() && self.is_there(at) {
                close.offer(cosine, at);
            }
        });
        let mut best = Best::new(query.candidates.max(1));
        let mut bytes = Vec::new();
        for (_, at) in close.into_sorted() {
            best.offer(self.cosine(&self.rows.rows[at as usize], query.vector, &mut bytes)?, at);
        }
        self.passages(best.into_sorted())
    }

    /// Cosine of `query` and the closest of the row's vectors.
    fn cosine(&self, row: &Row, query: &[f32], bytes: &mut Vec<u8>) -> io::Result<f32> {
        bytes.resize(row.vectors, 0);
        self.log.read_exact_at(bytes, row.at)?;
        let cosines = record::vectors(bytes, self.blocks)
            .map(|(mask, values)| values.zip(self.blocks.pack(mask, query)).map(|(x, y)| x * y).sum::<f32>());
        Ok(cosines.fold(f32::NEG_INFINITY, f32::max))
    }

    fn passages(&self, ranked: Vec<(f32, u32)>) -> tantivy::Result<Vec<Passage>> {
        ranked.into_iter().map(|(score, at)| Ok(self.passage(&self.rows.rows[at as usize], score)?)).collect()
    }

    fn passage(&self, row: &Row, score: f32) -> io::Result<Passage> {
        let mut bytes = vec![0; row.title + row.text];
        self.log.read_exact_at(&mut bytes, row.at + row.vectors as u64)?;
        let text = bytes.split_off(row.title);
        let utf8 = |bytes| String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        let (document, chunk) = (row.document.clone(), row.chunk);
        Ok(Passage { document, chunk, title: utf8(bytes)?, text: utf8(text)?, score })
    }
}
