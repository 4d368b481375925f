//! A changed embedder: what is served is built anew with it, tenant by tenant.

use super::{Knowledge, build::Plan, catalogued};
use protocol::{Failure, TenantId, Timestamp};
use std::sync::Arc;

impl Knowledge {
    /// Rebuilds what was built with another embedder. Until a tenant's turn comes, it is served as before.
    pub async fn adopt_embedder(self: Arc<Self>) {
        let tenants = match self.stores.catalog.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => return tracing::warn!(%error, "whose knowledge has another embedder's vectors is not known"),
        };
        for tenant in tenants {
            if let Err(error) = self.adopt(&tenant).await {
                tracing::warn!(%tenant, %error, "the knowledge keeps the vectors of another embedder");
            }
        }
    }

    async fn adopt(self: &Arc<Self>, tenant: &TenantId) -> Result<(), Failure> {
        let versions = self.stores.catalog.versions(tenant).await.map_err(catalogued)?;
        let ours = self.spaces.current().embedder.id();
        if let Some(other) = versions.iter().find(|info| info.served && info.embedder != ours) {
            tracing::info!(%tenant, from = other.embedder, to = ours, "the knowledge is embedded anew");
            self.publish(tenant, Timestamp(u64::MAX), Plan::default()).await?;
        }
        Ok(())
    }
}
