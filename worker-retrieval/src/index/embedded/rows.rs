//! What a tenant's index holds, as the log tells it.

use super::{
    blocks::Blocks,
    matrix::Matrix,
    record::{self, Record, Seal},
    words::Lookup,
};
use protocol::{DocumentId, KnowledgeVersion};
use std::collections::HashMap;

/// The version that never comes.
pub const NEVER: KnowledgeVersion = KnowledgeVersion(u64::MAX);

/// A passage; its vectors, title and text lie in the log.
#[derive(Debug)]
pub struct Row {
    /// Its number, which no other row ever had; ascending.
    pub number: u64,
    /// Its document.
    pub document: DocumentId,
    /// Position within the document.
    pub chunk: u32,
    /// The first version with it.
    pub added: KnowledgeVersion,
    /// The first version without it, or [`NEVER`].
    pub removed: KnowledgeVersion,
    /// Where in the log its vectors begin; title and text follow.
    pub at: u64,
    /// Bytes of its vectors.
    pub vectors: usize,
    /// Bytes of its title.
    pub title: usize,
    /// Bytes of its text.
    pub text: usize,
}

impl Row {
    /// Whether `version` has it.
    pub fn is_in(&self, version: KnowledgeVersion) -> bool {
        self.added <= version && version < self.removed
    }
}

/// Rows, vectors and words of a tenant, whole versions and the one that is being built.
pub struct Rows {
    /// The last whole version, the oldest that can be searched, and the next row's number.
    pub seal: Seal,
    /// In the order of their numbers, and so of the versions that added them.
    pub rows: Vec<Row>,
    /// Their vectors.
    pub matrix: Matrix,
    /// Where tantivy's documents are among them; `None` until the log was read.
    pub lookup: Option<Lookup>,
    blocks: Blocks,
    documents: HashMap<DocumentId, Vec<u32>>,
}

impl Rows {
    /// Without rows.
    pub fn new(blocks: Blocks) -> Self {
        let (seal, matrix) = (Seal::default(), Matrix::new(blocks));
        Self { seal, rows: Vec::new(), matrix, lookup: None, blocks, documents: HashMap::new() }
    }

    /// Does what a record says that begins at `start` of the log.
    pub fn apply(&mut self, start: u64, record: Record<'_>) {
        match record {
            Record::Row(row) => self.push(start, &row),
            Record::Removed { version, rows } => {
                for number in rows {
                    if let Some(at) = self.position(number) {
                        self.rows[at].removed = version;
                    }
                }
            }
            Record::Sealed(seal) => self.seal = Seal { next: seal.next.max(self.seal.next), ..seal },
            Record::Undone { base } => self.undo(base),
        }
    }

    fn push(&mut self, start: u64, row: &record::Row<'_>) {
        let (Ok(document), Ok(at)) = (DocumentId::parse(row.document), u32::try_from(self.rows.len())) else { return };
        for (mask, values) in record::vectors(row.vectors, self.blocks) {
            self.matrix.push(at, mask, values);
        }
        self.documents.entry(document.clone()).or_default().push(at);
        self.seal.next = self.seal.next.max(row.number + 1);
        self.rows.push(Row {
            number: row.number,
            at: start + record::Row::content(&document) as u64,
            document,
            chunk: row.chunk,
            added: row.added,
            removed: NEVER,
            vectors: row.vectors.len(),
            title: row.title.len(),
            text: row.text.len(),
        });
    }

    /// Forgets what versions after `base` brought and removed; all, if `base` itself was dropped.
    pub fn undo(&mut self, base: KnowledgeVersion) {
        let base = if base < self.seal.oldest { KnowledgeVersion(0) } else { base };
        let kept = self.rows.partition_point(|row| row.added <= base);
        for row in self.rows.drain(kept..).rev() {
            if let Some(positions) = self.documents.get_mut(&row.document) {
                positions.pop();
                if positions.is_empty() {
                    self.documents.remove(&row.document);
                }
            }
        }
        self.rows.iter_mut().filter(|row| row.removed > base).for_each(|row| row.removed = NEVER);
        self.matrix.truncate(kept);
        if let Some(lookup) = &mut self.lookup {
            lookup.forget(kept);
        }
        let version = self.seal.version.min(base);
        self.seal = Seal { version, oldest: self.seal.oldest.min(version), next: self.seal.next };
    }

    /// Numbers of the rows of `document` that `which` picks.
    pub fn of(&self, document: &DocumentId, which: impl Fn(&Row) -> bool) -> Vec<u64> {
        let rows = self.documents.get(document).into_iter().flatten().map(|at| &self.rows[*at as usize]);
        rows.filter(|row| which(row)).map(|row| row.number).collect()
    }

    /// Rows that were not removed.
    pub fn living(&self) -> usize {
        self.rows.iter().filter(|row| row.removed == NEVER).count()
    }

    /// Where the row with this number is.
    pub fn position(&self, number: u64) -> Option<usize> {
        self.rows.binary_search_by_key(&number, |row| row.number).ok()
    }
}
