//! The open tenants: opened on first use, the longest unused closed when there are too many.

use super::{Limits, tenant::Tenant};
use crate::index::IndexError;
use protocol::TenantId;
use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// A tenant that is open, or about to be: whoever locks it first opens it, and the others wait.
type Slot = Arc<Mutex<Option<Arc<Tenant>>>>;

/// Opens tenants and holds at most [`Limits::open_tenants`] of them, except while more are in use at once.
pub struct Tenants {
    directory: PathBuf,
    dimensions: usize,
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    slots: HashMap<TenantId, (Slot, u64)>,
    uses: u64,
}

impl Tenants {
    /// Tenants in subfolders of `directory`.
    pub fn new(directory: PathBuf, dimensions: usize, limits: Limits) -> Self {
        Self { directory, dimensions, limits, open: Mutex::default() }
    }

    /// The tenant's index, `None` when it has none.
    pub fn open(&self, tenant: &TenantId) -> Result<Option<Arc<Tenant>>, IndexError> {
        // tantivy writes this file last when it makes an index.
        let made = self.directory.join(tenant.as_str()).join("meta.json");
        if made.exists() { self.open_or_create(tenant).map(Some) } else { Ok(None) }
    }

    /// The tenant's index, made when there is none.
    pub fn open_or_create(&self, tenant: &TenantId) -> Result<Arc<Tenant>, IndexError> {
        let slot = self.slot(tenant);
        let mut opened = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = opened.as_ref() {
            return Ok(tenant.clone());
        }
        let path = self.directory.join(tenant.as_str());
        make(&path).map_err(|source| IndexError::Io { path: path.clone(), source })?;
        let tenant = Arc::new(Tenant::open(&path, self.dimensions, self.limits)?);
        *opened = Some(tenant.clone());
        Ok(tenant)
    }

    fn slot(&self, tenant: &TenantId) -> Slot {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let now = open.uses;
        if !open.slots.contains_key(tenant) && open.slots.len() >= self.limits.open_tenants {
            open.close_oldest();
        }
        let (slot, used) = open.slots.entry(tenant.clone()).or_default();
        *used = now;
        slot.clone()
    }
}

impl Open {
    /// Closes the tenant that was not used for longest; one in use stays, for it must never be open twice.
    fn close_oldest(&mut self) {
        let unused = self.slots.iter().filter(|(_, (slot, _))| is_unused(slot));
        if let Some(oldest) = unused.min_by_key(|(_, (_, used))| *used).map(|(tenant, _)| tenant.clone()) {
            self.slots.remove(&oldest);
        }
    }
}

fn is_unused(slot: &Slot) -> bool {
    Arc::strong_count(slot) == 1
        && slot.try_lock().is_ok_and(|tenant| tenant.as_ref().is_none_or(|tenant| Arc::strong_count(tenant) == 1))
}

/// Creates the directory so that it is there after a power failure.
fn make(path: &std::path::Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}
