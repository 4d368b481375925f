//! Dropping rows that no version sees any more: the log is written anew without them.

use super::{
    meta,
    record::{self, Record, Seal},
    rows::{NEVER, Row},
    tenant::{self, LOG, State, Tenant},
};
use crate::index::IndexError;
use protocol::KnowledgeVersion;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::Path,
};

/// Dead rows that are not worth a new log.
const FEW: usize = 64;

impl Tenant {
    /// See [`crate::index::SearchIndex::prune`]. Rows go when they are many; while a version is built, none do.
    pub fn prune(&self, oldest: KnowledgeVersion) -> Result<(), IndexError> {
        let mut writing = self.writing();
        let Seal { version, oldest: before, next } = self.read().rows.seal;
        let seal = Seal { version, oldest: oldest.clamp(before, version.max(before)), next };
        if writing.build.is_some() || seal.oldest == before {
            return Ok(());
        }
        writing.log.decide(&Record::Sealed(seal)).map_err(|error| self.failed(error))?;
        self.write().rows.seal = seal;
        let (dead, all) = {
            let state = self.read();
            (state.rows.rows.iter().filter(|row| is_dead(row, seal.oldest)).count(), state.rows.rows.len())
        };
        if dead < FEW || dead < all / 3 {
            return Ok(());
        }
        let draft = self.path.join("rows.log.new");
        compact(&self.read(), seal, &draft).map_err(|error| self.failed(error))?;
        let (log, state) = tenant::load(&draft, self.blocks, &self.words).map_err(|error| self.failed(error))?;
        let renamed = fs::rename(&draft, self.path.join(LOG)).and_then(|()| meta::sync_parent(&draft));
        renamed.map_err(|error| self.failed(error))?;
        *self.write() = state;
        writing.log = log;
        self.forget().map_err(|error| self.failed(error))
    }

    /// Removes the words of rows that there are no more.
    fn forget(&self) -> tantivy::Result<()> {
        let writer = self.words.writer()?;
        self.words.remove(&writer, self.read().rows.lookup.as_ref().map_or(&[], |lookup| &lookup.strangers));
        self.words.commit(writer)?;
        let lookup = self.words.lookup(&self.read().rows)?;
        self.write().rows.lookup = Some(lookup);
        Ok(())
    }
}

fn is_dead(row: &Row, oldest: KnowledgeVersion) -> bool {
    row.removed <= oldest || row.removed <= row.added
}

/// Writes a log of the rows that versions from `seal.oldest` on see.
fn compact(state: &State, seal: Seal, path: &Path) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut removed: BTreeMap<KnowledgeVersion, Vec<u64>> = BTreeMap::new();
    let (mut frame, mut content) = (Vec::new(), Vec::new());
    for row in state.rows.rows.iter().filter(|row| !is_dead(row, seal.oldest)) {
        if row.removed != NEVER {
            removed.entry(row.removed).or_default().push(row.number);
        }
        content.resize(row.vectors + row.title + row.text, 0);
        state.log.read_exact_at(&mut content, row.at)?;
        frame.clear();
        record::write(&mut frame, &Record::Row(again(row, &content)?));
        output.write_all(&frame)?;
    }
    frame.clear();
    removed.into_iter().for_each(|(version, rows)| record::write(&mut frame, &Record::Removed { version, rows }));
    record::write(&mut frame, &Record::Sealed(seal));
    output.write_all(&frame)?;
    output.into_inner()?.sync_all()
}

fn again<'a>(row: &'a Row, content: &'a [u8]) -> io::Result<record::Row<'a>> {
    let (vectors, words) = content.split_at(row.vectors);
    let (title, text) = words.split_at(row.title);
    let utf8 = |bytes| str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
    let (title, text) = (utf8(title)?, utf8(text)?);
    let (number, added, chunk, document) = (row.number, row.added, row.chunk, row.document.as_str());
    Ok(record::Row { number, added, chunk, document, vectors, title, text })
}
