//! What the directory of a space has: a lock, and a note of the format and of whose vectors it holds.

use crate::index::{IndexError, Vectors};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::Path,
};

/// Grows whenever older files cannot be read; 1 had no versions.
const FORMAT: u32 = 2;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    format: u32,
    embedder: String,
    dimensions: usize,
}

/// Creates `directory` and locks it; the operating system unlocks it when the file is closed, even after a crash.
pub fn lock(directory: &Path) -> Result<File, IndexError> {
    let io = |source| IndexError::io(directory, source);
    fs::create_dir_all(directory).map_err(io)?;
    let file = File::create(directory.join("lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::InUse(directory.into())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Refuses a directory of another format, or of another space; a new one is marked as this space's.
pub fn check(directory: &Path, vectors: &Vectors) -> Result<(), IndexError> {
    let path = directory.join("meta.json");
    let expected = Meta { format: FORMAT, embedder: vectors.embedder.clone(), dimensions: vectors.dimensions };
    match fs::read(&path) {
        Ok(bytes) => compare(directory, &bytes, &expected),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write(&path, &expected).map_err(|source| IndexError::io(&path, source))
        }
        Err(source) => Err(IndexError::io(&path, source)),
    }
}

fn compare(directory: &Path, bytes: &[u8], expected: &Meta) -> Result<(), IndexError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let place = directory.display().to_string();
    let broken = |reason: String| IndexError::Broken { place: place.clone(), reason };
    let found: Format = serde_json::from_slice(bytes).map_err(|error| broken(format!("meta.json: {error}")))?;
    match found.format {
        newer if newer > FORMAT => return Err(IndexError::Newer { place, found: newer, known: FORMAT }),
        older if older < FORMAT => return Err(IndexError::Older(directory.into())),
        _ => {}
    }
    let found: Meta = serde_json::from_slice(bytes).map_err(|error| broken(format!("meta.json: {error}")))?;
    if found == *expected { Ok(()) } else { Err(broken("meta.json names another embedder".into())) }
}

/// Whole or not at all: a crash leaves no half-written note.
fn write(path: &Path, meta: &Meta) -> io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec(meta)?)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_parent(path)
}

/// Makes the entry of `path` in its directory survive a power failure.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
