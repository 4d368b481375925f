//! Positional reading of a file that may be shorter than it claims.

use super::{WeightsError, WeightsProblem};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// A file of which parts are read. It is not mapped into memory, since whoever cuts a mapped file short kills the reader.
pub(super) struct Parts {
    pub path: PathBuf,
    pub len: u64,
    file: Mutex<File>,
}

impl Parts {
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let read = || {
            let file = File::open(path)?;
            Ok((file.metadata()?.len(), file))
        };
        let (len, file) = read().map_err(|error| WeightsProblem::Read(error).at(path))?;
        Ok(Self { path: path.into(), len, file: Mutex::new(file) })
    }

    /// Whether there are `len` bytes from `offset` on.
    pub fn check(&self, offset: u64, len: usize) -> Result<(), WeightsProblem> {
        let end = offset.saturating_add(len as u64);
        match end > self.len {
            true => Err(WeightsProblem::Format(format!("the file ends after {} bytes of {end}", self.len))),
            false => Ok(()),
        }
    }

    /// `len` bytes from `offset` on.
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, WeightsProblem> {
        self.check(offset, len)?;
        let mut bytes = vec![0; len];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
