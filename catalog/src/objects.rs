//! The archive in an object store: a directory's files, or a bucket's objects.

use crate::{Archive, ArchiveError, Key};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Place};
use protocol::{ContentHash, TenantId};
use sha2::{Digest, Sha256};
use std::{error::Error as _, io, path::Path, sync::Arc};

/// Where [`Archive::check`] writes. No tenant's name begins like that.
const PROBE: &str = "_frontdesk";

/// An archive.
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
}

impl Objects {
    /// In any store.
    pub fn new(store: impl ObjectStore) -> Self {
        Self { store: Arc::new(store) }
    }

    /// In a directory, which is made if there is none.
    pub fn directory(directory: &Path) -> Result<Self, ArchiveError> {
        let made = std::fs::create_dir_all(directory);
        made.map_err(|error| ArchiveError::Unavailable(format!("archive.url: {}: {error}", directory.display())))?;
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|error| trouble("archive.url", error))?;
        Ok(Self::new(store.with_fsync(true)))
    }

    /// Whether what is written can be read.
    async fn probe(&self) -> Result<(), ArchiveError> {
        let place = Place::from(PROBE);
        let probe = Bytes::from_static(b"Frontdesk writes this to see whether it can.\n");
        self.write(&place, probe.clone()).await?;
        let object = self.store.get(&place).await.map_err(|error| trouble(PROBE, error))?;
        let read = object.bytes().await.map_err(|error| trouble(PROBE, error))?;
        if read == probe { Ok(()) } else { Err(ArchiveError::Damaged(PROBE.into())) }
    }

    async fn write(&self, place: &Place, bytes: Bytes) -> Result<(), ArchiveError> {
        match self.store.put(place, bytes.into()).await {
            Ok(_) => Ok(()),
            Err(Error::NotFound { source, .. }) => {
                Err(ArchiveError::Unavailable(format!("the bucket does not exist: {source}")))
            }
            Err(error) => Err(trouble(place.as_ref(), error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Place>, ArchiveError> {
        let places = self.store.list(Some(&Place::from(prefix))).map_ok(|object| object.location);
        places.try_collect().await.map_err(|error| trouble(prefix, error))
    }

    async fn remove(&self, place: &Place) -> Result<(), ArchiveError> {
        match self.store.delete(place).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(trouble(place.as_ref(), error)),
        }
    }
}

fn place(key: &Key) -> Place {
    Place::from(key.as_str())
}

/// What a store says, and what to do about what is usual.
fn trouble(what: &str, error: Error) -> ArchiveError {
    if let Error::NotFound { .. } = error {
        return ArchiveError::Missing(what.to_owned());
    }
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    if causes.any(is_full) {
        return ArchiveError::Unavailable(format!("{what}: no room is left where archive.url points to; free some"));
    }
    ArchiveError::Unavailable(format!("{what}: {error}"))
}

fn is_full(cause: &(dyn std::error::Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl Archive for Objects {
    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), ArchiveError> {
        self.write(&place(key), bytes).await
    }

    async fn get(&self, key: &Key) -> Result<Bytes, ArchiveError> {
        let object = self.store.get(&place(key)).await.map_err(|error| trouble(key.as_str(), error))?;
        let bytes = object.bytes().await.map_err(|error| trouble(key.as_str(), error))?;
        match key.content() {
            Some(hash) if !sha256(&bytes).eq_ignore_ascii_case(hash) => Err(ArchiveError::Damaged(key.as_str().into())),
            _ => Ok(bytes),
        }
    }

    async fn has(&self, key: &Key) -> Result<bool, ArchiveError> {
        match self.store.head(&place(key)).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(trouble(key.as_str(), error)),
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), ArchiveError> {
        self.remove(&place(key)).await
    }

    async fn originals(&self, tenant: &TenantId) -> Result<Vec<ContentHash>, ArchiveError> {
        let places = self.list(&format!("{tenant}/originals")).await?;
        // What else lies there is not ours.
        Ok(places.iter().filter_map(|place| ContentHash::parse(place.filename()?).ok()).collect())
    }

    async fn forget(&self, tenant: &TenantId, hash: &ContentHash) -> Result<(), ArchiveError> {
        // The original goes last: while it is there, it is known that something is left to forget.
        for place in self.list(&format!("{tenant}/prepared/{hash}")).await? {
            self.remove(&place).await?;
        }
        self.delete(&Key::original(tenant, hash)).await
    }

    async fn check(&self) -> Result<(), ArchiveError> {
        match self.probe().await {
            Err(ArchiveError::Unavailable(text) | ArchiveError::Missing(text)) => {
                Err(ArchiveError::Unavailable(format!("archive.url: {text}")))
            }
            done => done,
        }
    }
}
