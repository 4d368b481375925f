//! Dropping what no kept version needs.

use super::{Knowledge, archived, catalogued};
use protocol::{ContentHash, Failure, KnowledgeVersion, TenantId};

/// Ingests are told of for this long.
const INGESTS_MS: u64 = 7 * 24 * 60 * 60 * 1000;

impl Knowledge {
    /// Failures are told in the log: what is left is dropped the next time.
    pub(super) async fn collect(&self, tenant: &TenantId) {
        if let Err(error) = self.collected(tenant).await {
            tracing::warn!(%tenant, %error, "old versions of the knowledge are dropped later");
        }
    }

    async fn collected(&self, tenant: &TenantId) -> Result<(), Failure> {
        let catalog = &self.stores.catalog;
        let versions = catalog.versions(tenant).await.map_err(catalogued)?;
        let served = versions.iter().find(|info| info.served).map(|info| info.version);
        // A version after the served one was rolled back; it does not count among those that are kept.
        let past = versions.iter().map(|info| info.version).filter(|version| Some(*version) <= served);
        if let Some(oldest) = past.take(self.config.keep_versions).last() {
            self.prune(tenant, oldest).await?;
        }
        let before = protocol::Timestamp(self.clock.now().0.saturating_sub(INGESTS_MS));
        let dropped = catalog.forget_ingests(tenant, before).await.map_err(catalogued)?;
        self.forget(tenant, dropped).await
    }

    async fn prune(&self, tenant: &TenantId, oldest: KnowledgeVersion) -> Result<(), Failure> {
        let dropped = self.stores.catalog.prune(tenant, oldest).await.map_err(catalogued)?;
        let space = self.spaces.current();
        self.indexing(space, tenant, move |index, tenant| index.prune(tenant, oldest)).await?;
        self.forget(tenant, dropped).await
    }

    async fn forget(&self, tenant: &TenantId, dropped: Vec<ContentHash>) -> Result<(), Failure> {
        let needed = self.stores.catalog.needed(tenant, &dropped).await.map_err(catalogued)?;
        for hash in dropped.iter().filter(|hash| !needed.contains(hash)) {
            self.stores.archive.forget(tenant, hash).await.map_err(archived)?;
        }
        Ok(())
    }
}
