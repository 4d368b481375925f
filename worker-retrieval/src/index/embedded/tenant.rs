//! One tenant's index: a tantivy directory, its single writer, and the state that searches see.

use super::{Limits, document, document::Document, schema::Fields, snapshot::Snapshot};
use crate::analyzer::Script;
use crate::index::{Found, IndexError, NewDocument, Query};
use protocol::DocumentId;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Term, directory::MmapDirectory};

/// Memory of a writer before it flushes to disk; tantivy takes no less.
const WRITER_BYTES: usize = 15_000_000;

/// An open tenant.
pub struct Tenant {
    path: PathBuf,
    fields: Fields,
    index: Index,
    reader: IndexReader,
    limits: Limits,
    /// Held while a change is written.
    writing: Mutex<()>,
    snapshot: RwLock<Arc<Snapshot>>,
}

impl Tenant {
    /// Opens or creates the index in `path`, which exists, and reads its vectors.
    pub fn open(path: &Path, dimensions: usize, limits: Limits) -> Result<Self, IndexError> {
        let broken = |reason: String| IndexError::Broken { path: path.into(), reason };
        let fields = Fields::new();
        let directory = MmapDirectory::open(path).map_err(|error| broken(error.to_string()))?;
        let index =
            Index::open_or_create(directory, fields.schema.clone()).map_err(|error| broken(error.to_string()))?;
        for script in Script::ALL {
            index.tokenizers().register(script.tokenizer(), script.analyzer());
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let reader: IndexReader = reader.map_err(|error| broken(error.to_string()))?;
        let snapshot = Snapshot::load(reader.searcher(), &fields, dimensions).map_err(broken)?;
        let snapshot = RwLock::new(Arc::new(snapshot));
        Ok(Self { path: path.into(), fields, index, reader, limits, writing: Mutex::new(()), snapshot })
    }

    /// The state after the last change.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Searches the state of now.
    pub fn search(&self, query: Query<'_>) -> Result<Found, IndexError> {
        self.snapshot().search(&self.fields, query).map_err(|error| self.broken(error))
    }

    /// Adds or replaces a document; tells whether one was replaced.
    pub fn put(&self, document: NewDocument) -> Result<bool, IndexError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        let id = document.info.id.clone();
        let passages = before.passages(Some(&id)) + document.passages.len();
        if passages > self.limits.tenant_passages {
            return Err(IndexError::TooMany(passages, self.limits.tenant_passages));
        }
        let rows = document::write(&self.fields, &document).map_err(|error| self.broken(error))?;
        let searcher = self.commit(&id, rows).map_err(|error| self.broken(error))?;
        let mut documents = before.documents.clone();
        let replaced = documents.insert(id, Arc::new(Document::new(document.info, document.passages))).is_some();
        self.show(Snapshot { searcher, documents });
        Ok(replaced)
    }

    /// Removes a document; `false`: there was none.
    pub fn delete(&self, id: &DocumentId) -> Result<bool, IndexError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        if !before.documents.contains_key(id) {
            return Ok(false);
        }
        let searcher = self.commit(id, Vec::new()).map_err(|error| self.broken(error))?;
        let mut documents = before.documents.clone();
        documents.remove(id);
        self.show(Snapshot { searcher, documents });
        Ok(true)
    }

    /// Replaces every row of `id` by `rows` in one commit, durable when this returns.
    ///
    /// The writer lives for one change: its threads and memory are not kept for every open tenant.
    fn commit(&self, id: &DocumentId, rows: Vec<tantivy::TantivyDocument>) -> tantivy::Result<tantivy::Searcher> {
        let mut writer: IndexWriter = self.index.writer_with_num_threads(1, WRITER_BYTES)?;
        writer.delete_term(Term::from_field_text(self.fields.document, id.as_str()));
        for row in rows {
            writer.add_document(row)?;
        }
        writer.commit()?;
        if let Err(error) = writer.wait_merging_threads() {
            tracing::warn!(%error, "merging index segments failed; the change itself is safe");
        }
        self.reader.reload()?;
        Ok(self.reader.searcher())
    }

    fn show(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    fn broken(&self, error: impl ToString) -> IndexError {
        IndexError::Broken { path: self.path.clone(), reason: error.to_string() }
    }
}
