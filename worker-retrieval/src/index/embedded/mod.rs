//! The index in this process: one tantivy directory per tenant, with the vectors of the open ones in memory.
//!
//! `<dir>/meta.json` says whose vectors these are, `<dir>/lock` keeps a second process out, and
//! `<dir>/tenants/<tenant>/` holds one tenant: there is no query that could reach into another's directory.

mod document;
mod meta;
mod schema;
mod snapshot;
mod tenant;
mod tenants;

use super::{Found, IndexError, NewDocument, Query, SearchIndex, Vectors};
use protocol::{DocumentId, DocumentInfo, TenantId};
use std::{fs::File, path::PathBuf};
use tenants::Tenants;

/// Bounds of what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tenants whose index stays open.
    pub open_tenants: usize,
    /// Passages of one tenant.
    pub tenant_passages: usize,
}

/// An index in a directory of this machine.
pub struct EmbeddedIndex {
    tenants: Tenants,
    _lock: File,
}

impl EmbeddedIndex {
    /// Opens or creates the index in `directory` and locks it until this value is dropped.
    pub fn open(directory: PathBuf, vectors: Vectors, limits: Limits) -> Result<Self, IndexError> {
        let lock = meta::lock(&directory)?;
        meta::check(&directory, &vectors)?;
        Ok(Self { tenants: Tenants::new(directory.join("tenants"), vectors.dimensions, limits), _lock: lock })
    }
}

impl SearchIndex for EmbeddedIndex {
    fn put(&self, tenant: &TenantId, document: NewDocument) -> Result<bool, IndexError> {
        self.tenants.open_or_create(tenant)?.put(document)
    }

    fn delete(&self, tenant: &TenantId, document: &DocumentId) -> Result<bool, IndexError> {
        self.tenants.open(tenant)?.map_or(Ok(false), |tenant| tenant.delete(document))
    }

    fn list(&self, tenant: &TenantId) -> Result<Vec<DocumentInfo>, IndexError> {
        Ok(self.tenants.open(tenant)?.map(|tenant| tenant.snapshot().list()).unwrap_or_default())
    }

    fn search(&self, tenant: &TenantId, query: Query<'_>) -> Result<Found, IndexError> {
        self.tenants.open(tenant)?.map_or_else(|| Ok(Found::default()), |tenant| tenant.search(query))
    }
}
