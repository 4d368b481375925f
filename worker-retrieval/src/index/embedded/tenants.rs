//! The open tenants: opened on first use, the longest unused closed when there are too many.

use super::{
    meta,
    tenant::{LOG, Tenant},
};
use crate::index::{IndexError, Limits};
use protocol::TenantId;
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A tenant that is open, or about to be: whoever locks it first opens it, and the others wait.
type Slot = Arc<Mutex<Option<Arc<Tenant>>>>;

/// Opens tenants and holds at most [`Limits::open_tenants`] of them, except while more are in use at once.
pub struct Tenants {
    space: PathBuf,
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
    /// Tenants in a subfolder of `space`.
    pub fn open(space: PathBuf, dimensions: usize, limits: Limits) -> Result<Self, IndexError> {
        let tenants = Self { space, dimensions, limits, open: Mutex::default() };
        // What a crash left of a tenant that was being removed.
        remove(&tenants.cleared()).map_err(|source| IndexError::io(&tenants.cleared(), source))?;
        Ok(tenants)
    }

    /// The tenant's index, `None` when it has none.
    pub fn get(&self, tenant: &TenantId) -> Result<Option<Arc<Tenant>>, IndexError> {
        // This is made last.
        if self.path(tenant).join(LOG).exists() { self.get_or_create(tenant).map(Some) } else { Ok(None) }
    }

    /// The tenant's index, made when there is none.
    pub fn get_or_create(&self, tenant: &TenantId) -> Result<Arc<Tenant>, IndexError> {
        let slot = self.slot(tenant);
        let mut opened = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = opened.as_ref() {
            return Ok(tenant.clone());
        }
        let path = self.path(tenant);
        make(&path).map_err(|source| IndexError::io(&path, source))?;
        let tenant = Arc::new(Tenant::open(&path, self.dimensions, self.limits)?);
        *opened = Some(tenant.clone());
        Ok(tenant)
    }

    /// Removes the tenant's index without opening it. Searches that run end in peace.
    pub fn clear(&self, tenant: &TenantId) -> Result<(), IndexError> {
        let slot = self.slot(tenant);
        let mut opened = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = opened.take() {
            tenant.retire();
        }
        let (path, cleared) = (self.path(tenant), self.cleared().join(tenant.as_str()));
        let io = |source| IndexError::io(&path, source);
        if !path.exists() {
            return Ok(());
        }
        remove(&cleared).and_then(|()| make(&self.cleared())).map_err(io)?;
        fs::rename(&path, &cleared).and_then(|()| meta::sync_parent(&path)).map_err(io)?;
        remove(&cleared).map_err(io)
    }

    fn path(&self, tenant: &TenantId) -> PathBuf {
        self.space.join("tenants").join(tenant.as_str())
    }

    fn cleared(&self) -> PathBuf {
        self.space.join("cleared")
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
    /// Closes the tenant that was not used for longest; one in use stays, for it must never be open twice, and so does one
    /// that is being built, for that would be lost.
    fn close_oldest(&mut self) {
        let unused = self.slots.iter().filter(|(_, (slot, _))| is_unused(slot));
        if let Some(oldest) = unused.min_by_key(|(_, (_, used))| *used).map(|(tenant, _)| tenant.clone()) {
            self.slots.remove(&oldest);
        }
    }
}

fn is_unused(slot: &Slot) -> bool {
    let idle = |tenant: &Arc<Tenant>| Arc::strong_count(tenant) == 1 && !tenant.is_building();
    Arc::strong_count(slot) == 1 && slot.try_lock().is_ok_and(|tenant| tenant.as_ref().is_none_or(idle))
}

/// Creates the directory so that it is there after a power failure.
fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    meta::sync_parent(path)
}

/// Removes a directory with all in it, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
