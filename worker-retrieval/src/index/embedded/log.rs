//! The file that a tenant's records are appended to.

use super::record::{self, FRAME, Record};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

/// An open log; what is not yet durable can be taken back.
pub struct Log {
    file: Arc<File>,
    /// Where the next record goes.
    end: u64,
    /// What lies before this is part of a whole version, or says that one was undone.
    durable: u64,
}

impl Log {
    /// Opens or makes the log at `path`, calls `apply` with each record and where it begins, and drops what follows the last
    /// seal: that is what a crash left of a build.
    pub fn open(path: &Path, mut apply: impl FnMut(u64, Record<'_>)) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        let mut log = Self { file: Arc::new(file), end: 0, durable: 0 };
        let mut input = BufReader::with_capacity(1 << 20, &*log.file);
        let mut body = Vec::new();
        while next(&mut input, length - log.end, &mut body)? {
            let Some(record) = record::read(&body) else { break };
            let decides = matches!(record, Record::Sealed(_) | Record::Undone { .. });
            apply(log.end, record);
            log.end += (FRAME + body.len()) as u64;
            if decides {
                log.durable = log.end;
            }
        }
        if log.durable < length {
            tracing::warn!(path = %path.display(), bytes = length - log.durable, "dropped what follows the last whole version");
            log.rewind()?;
        }
        Ok(log)
    }

    /// Reads from it, also while it grows.
    pub fn reader(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Appends whole frames; tells where they begin. A failure leaves nothing of them.
    pub fn append(&mut self, frames: &[u8]) -> io::Result<u64> {
        let start = self.end;
        if let Err(error) = self.file.write_all_at(frames, start) {
            self.file.set_len(start)?;
            return Err(error);
        }
        self.end += frames.len() as u64;
        Ok(start)
    }

    /// Waits until all of it is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Appends a record that makes all before it durable, in that order.
    pub fn decide(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.sync()?;
        let mut frame = Vec::new();
        record::write(&mut frame, record);
        self.append(&frame)?;
        self.sync()?;
        self.durable = self.end;
        Ok(())
    }

    /// Drops what is not durable.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.file.set_len(self.durable)?;
        self.end = self.durable;
        Ok(())
    }
}

/// Reads a frame of at most `left` bytes into `body`; `false`: there is none, or a damaged one.
fn next(input: &mut impl Read, left: u64, body: &mut Vec<u8>) -> io::Result<bool> {
    if left < FRAME as u64 {
        return Ok(false);
    }
    let (mut length, mut crc) = ([0; 4], [0; 4]);
    input.read_exact(&mut length)?;
    input.read_exact(&mut crc)?;
    let length = u32::from_le_bytes(length);
    if u64::from(length) > left - FRAME as u64 {
        return Ok(false);
    }
    body.resize(length as usize, 0);
    input.read_exact(body)?;
    Ok(crc32fast::hash(body) == u32::from_le_bytes(crc))
}

/// Reads the frames of `bytes`, which begin at `start` of the log.
pub fn each(bytes: &[u8], start: u64, mut apply: impl FnMut(u64, Record<'_>)) {
    let (mut at, mut left) = (start, bytes);
    while let Some((length, rest)) = left.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(record) = rest.get(4..4 + length).and_then(record::read) else { return };
        apply(at, record);
        at += (FRAME + length) as u64;
        left = &rest[4 + length..];
    }
}
