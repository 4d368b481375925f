//! Which documents a tenant has: one file per tenant, until the catalogue knows.

use protocol::{DocumentId, DocumentInfo, TenantId};
use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// The lists of all tenants.
pub struct Documents {
    directory: PathBuf,
    changing: Mutex<()>,
}

impl Documents {
    /// Lists in `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, changing: Mutex::new(()) }
    }

    /// The tenant's documents by id.
    pub fn list(&self, tenant: &TenantId) -> io::Result<Vec<DocumentInfo>> {
        match fs::read(self.path(tenant)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Replaces what is known of `document`, or forgets it.
    pub fn set(&self, tenant: &TenantId, document: &DocumentId, info: Option<DocumentInfo>) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.list(tenant)?;
        all.retain(|known| known.id != *document);
        all.extend(info);
        all.sort_by(|a, b| a.id.cmp(&b.id));
        fs::create_dir_all(&self.directory)?;
        let draft = self.directory.join(format!("{tenant}.new"));
        fs::write(&draft, serde_json::to_vec(&all)?)?;
        fs::rename(draft, self.path(tenant))
    }

    fn path(&self, tenant: &TenantId) -> PathBuf {
        self.directory.join(format!("{tenant}.json"))
    }
}
