//! The archive port: originals of documents, and what was prepared from them.

use async_trait::async_trait;
use bytes::Bytes;
use protocol::{ContentHash, DocumentId, Original, TenantId};
use sha2::{Digest, Sha256};

/// The name of an object. Only tenants' own names can be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// A document's original.
    pub fn original(tenant: &TenantId, hash: &ContentHash) -> Self {
        Self(format!("{tenant}/originals/{hash}"))
    }

    /// What was prepared from an original by `recipe` (letters and digits) as the document `document`: its passages and
    /// their vectors.
    pub fn prepared(tenant: &TenantId, hash: &ContentHash, document: &DocumentId, recipe: &str) -> Self {
        Self(format!("{tenant}/prepared/{hash}/{document}-{recipe}"))
    }

    /// All that is kept of a tenant.
    pub fn of_tenant(tenant: &TenantId) -> Self {
        Self(format!("{tenant}/"))
    }

    /// The key's text, `/` between its parts.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the object, if the key says it.
    pub(crate) fn content(&self) -> Option<&str> {
        self.0.split_once("/originals/").map(|(_, hash)| hash)
    }
}

/// Keeps a document's original under its hash.
pub async fn keep(archive: &dyn Archive, tenant: &TenantId, bytes: Bytes) -> Result<Original, ArchiveError> {
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = ContentHash::parse(hash).map_err(|error| ArchiveError::Unavailable(error.to_string()))?;
    let original = Original { hash: hash.clone(), bytes: bytes.len() as u64 };
    archive.put(&Key::original(tenant, &hash), bytes).await?;
    Ok(original)
}

/// Why the archive did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// There is no such object.
    #[error("the archive has no {0}")]
    Missing(String),
    /// It does not answer, or has no room.
    #[error("the archive cannot be used: {0}")]
    Unavailable(String),
    /// An object is not what it was.
    #[error("{0} is damaged in the archive")]
    Damaged(String),
}

/// Objects by key. A whole object is seen or none; equal keys hold equal bytes, so that a second `put` does no harm.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// Keeps an object, durably.
    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), ArchiveError>;

    /// An object.
    async fn get(&self, key: &Key) -> Result<Bytes, ArchiveError>;

    /// Whether there is one.
    async fn has(&self, key: &Key) -> Result<bool, ArchiveError>;

    /// Forgets an object; nothing happens if there is none.
    async fn delete(&self, key: &Key) -> Result<(), ArchiveError>;

    /// The hashes of all originals of a tenant, in no order.
    async fn originals(&self, tenant: &TenantId) -> Result<Vec<ContentHash>, ArchiveError>;

    /// Forgets an original and everything that was prepared from it.
    async fn forget(&self, tenant: &TenantId, hash: &ContentHash) -> Result<(), ArchiveError>;

    /// Whether it can be read and written now.
    async fn check(&self) -> Result<(), ArchiveError>;
}
