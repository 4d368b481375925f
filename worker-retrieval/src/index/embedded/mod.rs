//! The index in this process: per tenant a log of rows and versions, tantivy for the words, quantized vectors in memory.
//!
//! `<dir>/<space>/meta.json` says whose vectors these are, `<dir>/<space>/lock` keeps a second process out, and
//! `<dir>/<space>/tenants/<tenant>/` holds one tenant: there is no query that could reach into another's directory.
//!
//! A tenant has one log (`rows.log`, [`log`]) which decides what there is; tantivy's files (`words/`) only find rows by
//! their words, and what the log does not know of is ignored there. A version is sealed by one record, written after all
//! else is on the disk. Searches hold the tenant's read lock while they run, changes its write lock for moments.

mod best;
mod blocks;
mod log;
mod matrix;
mod meta;
mod prune;
mod record;
mod rows;
mod schema;
mod search;
mod tenant;
mod tenants;
mod words;

use super::{Found, IndexError, Limits, NewDocument, Query, SearchIndex, Vectors};
use protocol::{DocumentId, KnowledgeVersion, TenantId};
use std::{fs::File, path::Path};
use tenants::Tenants;

/// An index in a directory of this machine.
pub struct EmbeddedIndex {
    tenants: Tenants,
    _lock: File,
}

impl EmbeddedIndex {
    /// Opens or creates the space of `vectors` in `directory` and locks it until this value is dropped.
    pub fn open(directory: &Path, vectors: Vectors, limits: Limits) -> Result<Self, IndexError> {
        if directory.join("meta.json").exists() {
            return Err(IndexError::Older(directory.into()));
        }
        let space = directory.join(vectors.fingerprint());
        let lock = meta::lock(&space)?;
        meta::check(&space, &vectors)?;
        Ok(Self { tenants: Tenants::open(space, vectors.dimensions, limits)?, _lock: lock })
    }
}

impl SearchIndex for EmbeddedIndex {
    fn holds(&self, tenant: &TenantId) -> Result<KnowledgeVersion, IndexError> {
        Ok(self.tenants.get(tenant)?.map(|tenant| tenant.holds()).unwrap_or_default())
    }

    fn undo(&self, tenant: &TenantId, base: KnowledgeVersion) -> Result<(), IndexError> {
        self.tenants.get(tenant)?.map_or(Ok(()), |tenant| tenant.undo(base))
    }

    fn add(&self, tenant: &TenantId, version: KnowledgeVersion, documents: Vec<NewDocument>) -> Result<(), IndexError> {
        self.tenants.get_or_create(tenant)?.add(version, documents)
    }

    fn remove(&self, tenant: &TenantId, version: KnowledgeVersion, documents: &[DocumentId]) -> Result<(), IndexError> {
        self.tenants.get_or_create(tenant)?.remove(version, documents)
    }

    fn seal(&self, tenant: &TenantId, version: KnowledgeVersion) -> Result<(), IndexError> {
        self.tenants.get_or_create(tenant)?.seal(version)
    }

    fn search(&self, tenant: &TenantId, version: KnowledgeVersion, query: Query<'_>) -> Result<Found, IndexError> {
        match self.tenants.get(tenant)? {
            Some(tenant) => tenant.search(version, query),
            None if version == KnowledgeVersion(0) => Ok(Found::default()),
            None => Err(IndexError::Behind { asked: version, held: KnowledgeVersion(0) }),
        }
    }

    fn prune(&self, tenant: &TenantId, oldest: KnowledgeVersion) -> Result<(), IndexError> {
        self.tenants.get(tenant)?.map_or(Ok(()), |tenant| tenant.prune(oldest))
    }

    fn clear(&self, tenant: &TenantId) -> Result<(), IndexError> {
        self.tenants.clear(tenant)
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
