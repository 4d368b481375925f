//! Ingests from beginning to publication, and the versions that are kept.

use super::{Knowledge, add::told, build::Plan, catalogued};
use catalog::Staged;
use protocol::{ErrorCode, Event, Failure, IngestId, IngestReport, IngestState, KnowledgeVersion, TenantId, Timestamp};
use std::sync::Arc;

/// Documents of one page of a report.
const PAGE: usize = 100;

impl Knowledge {
    pub(super) async fn begin(&self, tenant: &TenantId, ingest: &IngestId) -> Result<Event, Failure> {
        self.stores.catalog.begin(tenant, ingest, self.clock.now()).await.map_err(catalogued)?;
        Ok(Event::Ingest(self.report(tenant, ingest, None).await?))
    }

    pub(super) async fn abort(&self, tenant: &TenantId, ingest: &IngestId) -> Result<Event, Failure> {
        let known = self.stores.catalog.ingest(tenant, ingest).await.map_err(catalogued)?;
        if known.state == IngestState::Published {
            return Err(Failure::new(
                ErrorCode::Conflict,
                "the ingest is published; roll back to the version before it",
            ));
        }
        self.stores.catalog.abort(tenant, ingest).await.map_err(catalogued)?;
        Ok(Event::Ingest(self.report(tenant, ingest, None).await?))
    }

    pub(super) async fn report(
        &self,
        tenant: &TenantId,
        ingest: &IngestId,
        after: Option<&str>,
    ) -> Result<IngestReport, Failure> {
        let catalog = &self.stores.catalog;
        let known = catalog.ingest(tenant, ingest).await.map_err(catalogued)?;
        let counts = catalog.counts(tenant, ingest).await.map_err(catalogued)?;
        let staged = catalog.staged(tenant, ingest, after, PAGE).await.map_err(catalogued)?;
        let next = staged.last().filter(|_| staged.len() == PAGE).map(|last| last.name.clone());
        Ok(IngestReport {
            ingest: known.id,
            state: known.state,
            version: known.version,
            counts,
            documents: staged.into_iter().map(told).collect(),
            next,
            begun: known.begun,
        })
    }

    /// A second publication of one ingest tells of the first.
    pub(super) async fn publish_ingest(
        self: &Arc<Self>,
        tenant: &TenantId,
        deadline: Timestamp,
        ingest: &IngestId,
        remove_others: bool,
    ) -> Result<Event, Failure> {
        match self.stores.catalog.ingest(tenant, ingest).await.map_err(catalogued)?.state {
            IngestState::Open => {
                let (unread, put) = self.all_staged(tenant, ingest).await?.into_iter().partition::<Vec<_>, _>(failed);
                let unread = unread.into_iter().map(|staged| staged.id).collect();
                let plan = Plan { put, unread, remove_others, ingest: Some(ingest.clone()), ..Plan::default() };
                self.publish(tenant, deadline, plan).await?;
            }
            IngestState::Published => {}
            IngestState::Aborted => {
                return Err(Failure::new(ErrorCode::Conflict, "the ingest was given up; begin another one"));
            }
        }
        Ok(Event::Ingest(self.report(tenant, ingest, None).await?))
    }

    async fn all_staged(&self, tenant: &TenantId, ingest: &IngestId) -> Result<Vec<Staged>, Failure> {
        let mut all: Vec<Staged> = Vec::new();
        loop {
            let after = all.last().map(|staged| staged.name.clone());
            let page = self.stores.catalog.staged(tenant, ingest, after.as_deref(), 10 * PAGE).await;
            let page = page.map_err(catalogued)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    pub(super) async fn versions(&self, tenant: &TenantId) -> Result<Event, Failure> {
        let versions = self.stores.catalog.versions(tenant).await.map_err(catalogued)?;
        Ok(Event::Versions { versions })
    }

    pub(super) async fn rollback(&self, tenant: &TenantId, to: Option<KnowledgeVersion>) -> Result<Event, Failure> {
        let versions = self.stores.catalog.versions(tenant).await.map_err(catalogued)?;
        let served = versions.iter().find(|info| info.served);
        let before = || served.and_then(|served| versions.iter().find(|info| info.version < served.version));
        let to = to.or_else(|| before().map(|info| info.version));
        let known = to.filter(|to| versions.iter().any(|info| info.version == *to));
        let missing = "there is no such version, or it is not kept any more; GET /v1/knowledge/versions lists them";
        let to = known.ok_or_else(|| Failure::new(ErrorCode::NotFound, missing))?;
        self.stores.catalog.rollback(tenant, to, self.clock.now()).await.map_err(catalogued)?;
        self.tell(tenant, to).await;
        self.versions(tenant).await
    }

    /// Every document is read from the archive again where that is needed, and brought into the index.
    pub(super) async fn rebuild(self: &Arc<Self>, tenant: &TenantId, deadline: Timestamp) -> Result<Event, Failure> {
        self.publish(tenant, deadline, Plan { anew: true, ..Plan::default() }).await?;
        self.versions(tenant).await
    }
}

fn failed(staged: &Staged) -> bool {
    staged.failure.is_some()
}
