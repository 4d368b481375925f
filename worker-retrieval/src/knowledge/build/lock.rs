//! The right to build, kept while it is used.

use crate::knowledge::{Knowledge, catalogued};
use catalog::{Build, CatalogError};
use protocol::{Failure, TenantId, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::task::AbortHandle;

/// A build whose worker dies holds its tenant for this long.
const LEASE: Duration = Duration::from_secs(30);
/// How long another build is waited for between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Renews a build until it is dropped.
pub(in crate::knowledge) struct Renewal(AbortHandle);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Knowledge {
    /// Waits for another build, but not past `deadline`.
    pub(in crate::knowledge) async fn lock(
        self: &Arc<Self>,
        tenant: &TenantId,
        deadline: Timestamp,
    ) -> Result<(Build, Renewal), Failure> {
        loop {
            let now = self.clock.now();
            match self.stores.catalog.begin_build(tenant, now, LEASE).await {
                Ok(build) => {
                    let renewal = self.renew(tenant.clone(), build.clone());
                    return Ok((build, renewal));
                }
                Err(CatalogError::Conflict) if deadline.ms_from(now) > 0 => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(catalogued(error)),
            }
        }
    }

    fn renew(self: &Arc<Self>, tenant: TenantId, build: Build) -> Renewal {
        let (catalog, clock) = (self.stores.catalog.clone(), self.clock.clone());
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LEASE / 3).await;
                // One that is lost is found out at the end: it cannot be published.
                if let Err(error) = catalog.renew_build(&tenant, &build, clock.now(), LEASE).await {
                    tracing::warn!(%tenant, %error, version = build.version.0, "a build is not renewed");
                }
            }
        });
        Renewal(renewing.abort_handle())
    }
}
