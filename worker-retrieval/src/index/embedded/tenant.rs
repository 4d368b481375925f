//! One tenant's index: its log, the words, and what searches see.

use super::{
    blocks::Blocks,
    log::{self, Log},
    meta,
    record::{self, Record, Seal},
    rows::{NEVER, Rows},
    search::Search,
    words::Words,
};
use crate::index::{Found, IndexError, Limits, NewDocument, NewPassage, Query};
use protocol::{DocumentId, KnowledgeVersion};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tantivy::{IndexWriter, TantivyError};

/// Name of the log in a tenant's directory.
pub const LOG: &str = "rows.log";

/// An open tenant.
pub struct Tenant {
    pub(super) path: PathBuf,
    pub(super) words: Words,
    pub(super) blocks: Blocks,
    dimensions: usize,
    limits: Limits,
    pub(super) writing: Mutex<Writing>,
    pub(super) state: RwLock<State>,
}

/// What searches read.
pub struct State {
    /// The rows.
    pub rows: Rows,
    /// Their log.
    pub log: Arc<File>,
}

/// What changes need, one at a time.
pub struct Writing {
    /// Where rows are written.
    pub log: Log,
    /// The version that is being built.
    pub build: Option<Build>,
}

/// A version that is not sealed yet.
pub struct Build {
    version: KnowledgeVersion,
    /// `None` after a failure: the version can then only be undone.
    writer: Option<IndexWriter>,
}

impl Tenant {
    /// Opens or creates the index in `path`, which exists.
    pub fn open(path: &Path, dimensions: usize, limits: Limits) -> Result<Self, IndexError> {
        let blocks = Blocks::new(dimensions);
        let words = path.join("words");
        fs::create_dir_all(&words).map_err(|source| IndexError::io(&words, source))?;
        let words = Words::open(&words).map_err(|error| IndexError::in_files(path, &error))?;
        let (log, state) = load(&path.join(LOG), blocks, &words).map_err(|error| IndexError::in_files(path, &error))?;
        let (writing, state) = (Mutex::new(Writing { log, build: None }), RwLock::new(state));
        Ok(Self { path: path.into(), words, blocks, dimensions, limits, writing, state })
    }

    /// The last whole version.
    pub fn holds(&self) -> KnowledgeVersion {
        self.read().rows.seal.version
    }

    /// Whether a version is being built.
    pub fn is_building(&self) -> bool {
        self.writing.try_lock().map_or(true, |writing| writing.build.is_some())
    }

    /// Searches `version`.
    pub fn search(&self, version: KnowledgeVersion, query: Query<'_>) -> Result<Found, IndexError> {
        let state = self.read();
        let Seal { version: held, oldest, .. } = state.rows.seal;
        if version > held || version < oldest {
            return Err(IndexError::Behind { asked: version, held });
        }
        let search = Search { rows: &state.rows, log: &state.log, words: &self.words, blocks: self.blocks, version };
        search.run(query).map_err(|error| self.failed(error))
    }

    /// Forgets everything and refuses changes: its files are about to go.
    pub fn retire(&self) {
        let mut writing = self.writing();
        writing.build = Some(Build { version: NEVER, writer: None });
        self.write().rows = Rows::new(self.blocks);
    }

    /// See [`crate::index::SearchIndex::undo`].
    pub fn undo(&self, base: KnowledgeVersion) -> Result<(), IndexError> {
        let mut writing = self.writing();
        if writing.build.is_none() && self.holds() <= base {
            return Ok(());
        }
        // The words that the writer has taken in go with it; those of sealed rows are removed by the next build.
        writing.build = None;
        let undone = writing.log.rewind().and_then(|()| writing.log.decide(&Record::Undone { base }));
        self.write().rows.undo(base);
        if undone.is_err() {
            // What the log still holds must not be built upon.
            writing.build = Some(Build { version: NEVER, writer: None });
        }
        undone.map_err(|error| self.failed(error))
    }

    /// See [`crate::index::SearchIndex::add`].
    pub fn add(&self, version: KnowledgeVersion, documents: Vec<NewDocument>) -> Result<(), IndexError> {
        let mut writing = self.begin(version)?;
        self.fits(version, &documents)?;
        self.attempt(&mut writing, |tenant, log, writer| tenant.bring(log, writer, version, &documents))
    }

    /// See [`crate::index::SearchIndex::remove`].
    pub fn remove(&self, version: KnowledgeVersion, documents: &[DocumentId]) -> Result<(), IndexError> {
        let mut writing = self.begin(version)?;
        let rows = self.numbers(documents.iter(), |added, removed| added < version && removed == NEVER);
        self.attempt(&mut writing, |tenant, log, _| Ok(tenant.append(log, &[Record::Removed { version, rows }])?))
    }

    /// See [`crate::index::SearchIndex::seal`].
    pub fn seal(&self, version: KnowledgeVersion) -> Result<(), IndexError> {
        if self.writing().build.is_none() && self.holds() == version {
            return Ok(());
        }
        let mut writing = self.begin(version)?;
        let Writing { log, build } = &mut *writing;
        let Some(writer) = build.as_mut().and_then(|build| build.writer.take()) else { return Ok(()) };
        self.close(log, writer, version).map_err(|error| self.failed(error))?;
        writing.build = None;
        Ok(())
    }

    /// Makes `version` the last whole one: first its words and rows, then the record that says so.
    fn close(&self, log: &mut Log, writer: IndexWriter, version: KnowledgeVersion) -> tantivy::Result<()> {
        log.sync()?;
        self.words.commit(writer)?;
        let seal = Seal { version, ..self.read().rows.seal };
        let lookup = self.words.lookup(&self.read().rows)?;
        log.decide(&Record::Sealed(seal))?;
        let mut state = self.write();
        (state.rows.seal, state.rows.lookup) = (seal, Some(lookup));
        Ok(())
    }

    /// Locks the version for a change, and opens it before its first one.
    fn begin(&self, version: KnowledgeVersion) -> Result<MutexGuard<'_, Writing>, IndexError> {
        let mut writing = self.writing();
        let closed = |other| Err(IndexError::Closed { version, other });
        match &writing.build {
            Some(Build { writer: Some(_), version: open }) if *open == version => return Ok(writing),
            Some(build) => return closed(build.version),
            None if version <= self.holds() => return closed(self.holds()),
            None => {}
        }
        let writer = self.words.writer().map_err(|error| self.failed(error))?;
        self.words.remove(&writer, self.read().rows.lookup.as_ref().map_or(&[], |lookup| &lookup.strangers));
        writing.build = Some(Build { version, writer: Some(writer) });
        Ok(writing)
    }

    /// After a failed change the version can only be undone.
    fn attempt(
        &self,
        writing: &mut Writing,
        change: impl FnOnce(&Self, &mut Log, &IndexWriter) -> tantivy::Result<()>,
    ) -> Result<(), IndexError> {
        let Some(build) = &mut writing.build else { return Ok(()) };
        let Some(writer) = &build.writer else { return Ok(()) };
        change(self, &mut writing.log, writer).map_err(|error| {
            build.writer = None;
            self.failed(error)
        })
    }

    fn bring(
        &self,
        log: &mut Log,
        writer: &IndexWriter,
        version: KnowledgeVersion,
        documents: &[NewDocument],
    ) -> tantivy::Result<()> {
        let ids = documents.iter().map(|document| &document.id);
        let repeated = self.numbers(ids, |added, removed| added == version && removed == NEVER);
        let first = self.read().rows.seal.next;
        let passages = documents.iter().flat_map(|document| {
            document.passages.iter().zip(0u32..).map(|(passage, chunk)| (&document.id, chunk, passage))
        });
        let mut frames = Vec::new();
        record::write(&mut frames, &Record::Removed { version, rows: repeated });
        for (number, (document, chunk, passage)) in (first..).zip(passages) {
            let vectors = self.vectors(passage);
            let (document, title, text) = (document.as_str(), passage.title.as_str(), passage.text.as_str());
            let row = record::Row { number, added: version, chunk, document, vectors: &vectors, title, text };
            record::write(&mut frames, &Record::Row(row));
            self.words.add(writer, number, passage)?;
        }
        self.take_in(log, &frames)?;
        Ok(())
    }

    fn append(&self, log: &mut Log, records: &[Record<'_>]) -> io::Result<()> {
        let mut frames = Vec::new();
        records.iter().for_each(|record| record::write(&mut frames, record));
        self.take_in(log, &frames)
    }

    /// Appends `frames` to the log and does what they say.
    fn take_in(&self, log: &mut Log, frames: &[u8]) -> io::Result<()> {
        let start = log.append(frames)?;
        let mut state = self.write();
        log::each(frames, start, |at, record| state.rows.apply(at, record));
        Ok(())
    }

    fn vectors(&self, passage: &NewPassage) -> Vec<u8> {
        let mut bytes = Vec::new();
        let all = std::iter::once(&passage.vector).chain(&passage.question);
        all.for_each(|vector| record::write_vector(&mut bytes, self.blocks, vector));
        bytes
    }

    /// Whether the documents are sound, and there is room for them.
    fn fits(&self, version: KnowledgeVersion, documents: &[NewDocument]) -> Result<(), IndexError> {
        let sound = |vector: &Vec<f32>| vector.len() == self.dimensions && vector.iter().all(|x| x.is_finite());
        let mut passages = documents.iter().flat_map(|document| &document.passages);
        if !passages.all(|passage| sound(&passage.vector) && passage.question.iter().all(sound)) {
            let reason = format!("a vector has not {} numbers", self.dimensions);
            return Err(IndexError::Broken { place: self.path.display().to_string(), reason });
        }
        let ids = documents.iter().map(|document| &document.id);
        let repeated = self.numbers(ids, |added, removed| added == version && removed == NEVER).len();
        let new: usize = documents.iter().map(|document| document.passages.len()).sum();
        let total = self.read().rows.living() - repeated + new;
        if total > self.limits.tenant_passages {
            return Err(IndexError::TooMany(total, self.limits.tenant_passages));
        }
        Ok(())
    }

    /// Numbers of the documents' rows whose versions `which` picks.
    fn numbers<'a>(
        &self,
        documents: impl Iterator<Item = &'a DocumentId>,
        which: impl Fn(KnowledgeVersion, KnowledgeVersion) -> bool,
    ) -> Vec<u64> {
        let state = self.read();
        documents.flat_map(|document| state.rows.of(document, |row| which(row.added, row.removed))).collect()
    }

    pub(super) fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, error: impl Into<TantivyError>) -> IndexError {
        IndexError::in_files(&self.path, &error.into())
    }
}

/// Reads the log at `path` and finds its rows among the words.
pub fn load(path: &Path, blocks: Blocks, words: &Words) -> tantivy::Result<(Log, State)> {
    let mut rows = Rows::new(blocks);
    let log = Log::open(path, |start, record| rows.apply(start, record))?;
    meta::sync_parent(path)?;
    rows.undo(rows.seal.version);
    let lookup = words.lookup(&rows)?;
    rows.seal.next = rows.seal.next.max(lookup.next);
    rows.lookup = Some(lookup);
    let reader = log.reader();
    Ok((log, State { rows, log: reader }))
}
