//! Ingests: documents on their way into a version.

use super::{Fault, Sql, retried, rows};
use crate::{Build, CatalogError, Change, Ingest, Ingests, Staged};
use async_trait::async_trait;
use protocol::{DocumentId, IngestId, IngestState, TenantId, Timestamp};
use sqlx::{AnyConnection, AssertSqlSafe};
use std::collections::BTreeSet;

/// Bytes of the longest name, as the tables have it.
const NAME_MAX: usize = 1024;

impl Sql {
    /// Locks an open ingest; one that is published or aborted is [`CatalogError::Missing`].
    async fn open_ingest(&self, tx: &mut AnyConnection, tenant: &TenantId, ingest: &IngestId) -> Result<(), Fault> {
        match self.locked_ingest(tx, tenant, ingest).await?.state {
            IngestState::Open => Ok(()),
            IngestState::Published | IngestState::Aborted => Err(CatalogError::Missing("open ingest").into()),
        }
    }

    async fn locked_ingest(
        &self,
        tx: &mut AnyConnection,
        tenant: &TenantId,
        ingest: &IngestId,
    ) -> Result<Ingest, Fault> {
        let select = self.dialect.fill("SELECT * FROM ingests WHERE tenant = ? AND ingest = ? {for_update}");
        let select =
            sqlx::query(AssertSqlSafe(select)).bind(tenant.as_str().to_owned()).bind(ingest.as_str().to_owned());
        rows::ingest(&select.fetch_optional(tx).await?.ok_or(CatalogError::Missing("ingest"))?)
    }

    /// Ends an open ingest with the version that `build` becomes.
    pub(super) async fn close_ingest(
        &self,
        tx: &mut AnyConnection,
        tenant: &TenantId,
        ingest: &IngestId,
        build: &Build,
        change: &Change,
    ) -> Result<(), Fault> {
        self.open_ingest(tx, tenant, ingest).await?;
        let put: BTreeSet<&DocumentId> = change.put.iter().map(|document| &document.id).collect();
        let removed = change.removed.iter().filter(|id| !put.contains(id)).count() as u64;
        let update = "UPDATE ingests SET state = ?, version = ?, removed = ? WHERE tenant = ? AND ingest = ?";
        let update = sqlx::query(update).bind(rows::word(&IngestState::Published)?).bind(rows::int(build.version.0));
        let update = update.bind(rows::int(removed)).bind(tenant.as_str().to_owned());
        update.bind(ingest.as_str().to_owned()).execute(tx).await?;
        Ok(())
    }

    async fn begin_ingest(&self, tenant: &TenantId, ingest: &IngestId, now: Timestamp) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let insert = self.dialect.fill("INSERT {or_ignore} INTO ingests VALUES (?, ?, ?, 0, 0, ?)");
        let insert = sqlx::query(AssertSqlSafe(insert)).bind(tenant.as_str().to_owned());
        let insert = insert.bind(ingest.as_str().to_owned()).bind(rows::word(&IngestState::Open)?);
        insert.bind(rows::int(now.0)).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn put_staged(&self, tenant: &TenantId, ingest: &IngestId, staged: &Staged) -> Result<(), Fault> {
        let replace = "REPLACE INTO staged (tenant, ingest, name, document, title, format, original, bytes, passages,
            recipe, warnings, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let replace = sqlx::query(replace).bind(tenant.as_str().to_owned()).bind(ingest.as_str().to_owned());
        let replace = replace.bind(staged.name.clone()).bind(staged.id.as_str().to_owned()).bind(staged.title.clone());
        let replace = replace.bind(rows::word(&staged.format)?).bind(staged.original.hash.as_str().to_owned());
        let replace = replace.bind(rows::int(staged.original.bytes)).bind(i64::from(staged.passages));
        let replace = replace.bind(staged.recipe.clone()).bind(rows::json(&staged.warnings)?);
        let replace = replace.bind(rows::json(&staged.failure)?);
        let mut tx = self.begin().await?;
        self.open_ingest(&mut tx, tenant, ingest).await?;
        replace.execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn abort_ingest(&self, tenant: &TenantId, ingest: &IngestId) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        if self.locked_ingest(&mut tx, tenant, ingest).await?.state == IngestState::Published {
            return Err(CatalogError::Missing("open ingest").into());
        }
        let update = sqlx::query("UPDATE ingests SET state = ? WHERE tenant = ? AND ingest = ?");
        let update = update.bind(rows::word(&IngestState::Aborted)?).bind(tenant.as_str().to_owned());
        update.bind(ingest.as_str().to_owned()).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn forget_older(&self, tenant: &TenantId, before: Timestamp) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let delete = sqlx::query("DELETE FROM ingests WHERE tenant = ? AND begun < ?");
        delete.bind(tenant.as_str().to_owned()).bind(rows::int(before.0)).execute(&mut *tx).await?;
        tx.commit().await
    }
}

#[async_trait]
impl Ingests for Sql {
    async fn begin(&self, tenant: &TenantId, ingest: &IngestId, now: Timestamp) -> Result<(), CatalogError> {
        retried(|| self.begin_ingest(tenant, ingest, now)).await
    }

    async fn ingest(&self, tenant: &TenantId, ingest: &IngestId) -> Result<Ingest, CatalogError> {
        let select = sqlx::query("SELECT * FROM ingests WHERE tenant = ? AND ingest = ?");
        let select = select.bind(tenant.as_str().to_owned()).bind(ingest.as_str().to_owned());
        let row = select.fetch_optional(&self.pool).await.map_err(Fault::from)?;
        Ok(rows::ingest(&row.ok_or(CatalogError::Missing("ingest"))?)?)
    }

    async fn stage(&self, tenant: &TenantId, ingest: &IngestId, staged: &Staged) -> Result<(), CatalogError> {
        if !(1..=NAME_MAX).contains(&staged.name.len()) {
            return Err(CatalogError::Unusable(format!("a document's name must have 1 to {NAME_MAX} bytes")));
        }
        retried(|| self.put_staged(tenant, ingest, staged)).await
    }

    async fn staged(
        &self,
        tenant: &TenantId,
        ingest: &IngestId,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Staged>, CatalogError> {
        let select = "SELECT * FROM staged WHERE tenant = ? AND ingest = ? AND name > ? ORDER BY name LIMIT ?";
        let select = sqlx::query(select).bind(tenant.as_str().to_owned()).bind(ingest.as_str().to_owned());
        let select = select.bind(after.unwrap_or_default().to_owned()).bind(rows::int(most as u64));
        let rows = select.fetch_all(&self.pool).await.map_err(Fault::from)?;
        Ok(rows.iter().map(rows::staged).collect::<Result<_, _>>()?)
    }

    async fn abort(&self, tenant: &TenantId, ingest: &IngestId) -> Result<(), CatalogError> {
        retried(|| self.abort_ingest(tenant, ingest)).await
    }

    async fn forget_ingests(&self, tenant: &TenantId, before: Timestamp) -> Result<(), CatalogError> {
        retried(|| self.forget_older(tenant, before)).await
    }
}
