//! What the whole directory has: a lock, and a note of the format and of whose vectors it holds.

use crate::index::{IndexError, Vectors};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::Path,
};

/// Grows whenever older files cannot be read.
const FORMAT: u32 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    format: u32,
    embedder: String,
    dimensions: usize,
}

/// Creates `directory` and locks it; the operating system unlocks it when the file is closed, even after a crash.
pub fn lock(directory: &Path) -> Result<File, IndexError> {
    let io = |source| IndexError::Io { path: directory.into(), source };
    fs::create_dir_all(directory).map_err(io)?;
    let file = File::create(directory.join("lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::InUse(directory.into())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Refuses a directory that holds another embedder's vectors; a new one is marked as this embedder's.
pub fn check(directory: &Path, vectors: &Vectors) -> Result<(), IndexError> {
    let path = directory.join("meta.json");
    let expected = Meta { format: FORMAT, embedder: vectors.embedder.clone(), dimensions: vectors.dimensions };
    match fs::read(&path) {
        Ok(bytes) => compare(directory, &bytes, &expected),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write(&path, &expected).map_err(|source| IndexError::Io { path, source })
        }
        Err(source) => Err(IndexError::Io { path, source }),
    }
}

fn compare(directory: &Path, bytes: &[u8], expected: &Meta) -> Result<(), IndexError> {
    let found: Meta = serde_json::from_slice(bytes)
        .map_err(|error| IndexError::Broken { path: directory.join("meta.json"), reason: error.to_string() })?;
    if found == *expected {
        return Ok(());
    }
    let words = |meta: &Meta| format!("format {}, {} ({} dimensions)", meta.format, meta.embedder, meta.dimensions);
    Err(IndexError::Mismatch { path: directory.into(), found: words(&found), expected: words(expected) })
}

/// Whole or not at all: a crash leaves no half-written note.
fn write(path: &Path, meta: &Meta) -> io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec(meta)?)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
