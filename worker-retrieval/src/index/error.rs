//! Why an index cannot do what it was asked.

use protocol::KnowledgeVersion;
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

/// Why an index cannot be used, or not for this.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The choice names no index.
    #[error("retrieval.index = {0:?}: expected embedded:, embedded:<directory> or http(s)://<Meilisearch>")]
    Unknown(String),
    /// Another process has it.
    #[error("index {} is in use by another process; stop it, or give this one its own retrieval.index", .0.display())]
    InUse(PathBuf),
    /// It was written before there were versions.
    #[error(
        "index {} was written by an earlier frontdesk: move the directory away, then run `frontdesk rebuild`, \
         and add documents again that were never put into the archive",
        .0.display()
    )]
    Older(PathBuf),
    /// It was written by a later program.
    #[error(
        "index {place} has format {found}, this frontdesk reads up to {known}: run the newer one, or move it away and run `frontdesk rebuild`"
    )]
    Newer {
        /// The index.
        place: String,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// What is asked for is not whole in here: it was not built yet, or was dropped.
    #[error("the index holds version {} of this knowledge, not version {}", .held.0, .asked.0)]
    Behind {
        /// The version that was asked for.
        asked: KnowledgeVersion,
        /// The last one that is whole.
        held: KnowledgeVersion,
    },
    /// A version that is no longer open to changes.
    #[error("version {} cannot be changed beside version {}: undo what came after its base first", .version.0, .other.0)]
    Closed {
        /// The version that was to be changed.
        version: KnowledgeVersion,
        /// The one that is sealed, or being built.
        other: KnowledgeVersion,
    },
    /// More passages than a tenant may have.
    #[error("the tenant would have {0} passages, at most {1} are kept (retrieval.max_tenant_passages)")]
    TooMany(usize, usize),
    /// It does not answer now; later it may.
    #[error("index {place} does not answer: {reason}")]
    Unavailable {
        /// Where it is.
        place: String,
        /// What happened.
        reason: String,
    },
    /// The search server does not accept the key for this.
    #[error("index {place} refuses retrieval.index_key: {reason}; give the server's master key, or an admin key")]
    Refused {
        /// Where it is.
        place: String,
        /// What it said.
        reason: String,
    },
    /// The disk is full.
    #[error("index {0}: the disk is full; make room, what was served before is intact")]
    Full(String),
    /// It cannot be read or written.
    #[error("index {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What it holds is damaged, or it answers nonsense.
    #[error("index {place}: {reason}; `frontdesk rebuild` builds it anew")]
    Broken {
        /// Where it is.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl IndexError {
    /// A failure of the file system at `path`.
    pub fn io(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::Full(path.display().to_string());
        }
        Self::Io { path: path.into(), source }
    }

    /// A failure of a library that keeps its files in `path`; a full disk is told from damage.
    pub fn in_files(path: &Path, error: &impl Error) -> Self {
        let place = path.display().to_string();
        // The library wraps the system's errors in its own, and not all of those tell their source.
        if format!("{error:?}").contains(&format!("{:?}", io::ErrorKind::StorageFull)) {
            return Self::Full(place);
        }
        Self::Broken { place, reason: error.to_string() }
    }
}
