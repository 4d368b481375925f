//! Ingests: documents on their way into a version.

use super::{Fault, Sql, retried, rows};
use crate::{CatalogError, Ingest, Ingests, Staged};
use async_trait::async_trait;
use protocol::{ContentHash, IngestCounts, IngestId, IngestState, KnowledgeVersion, Outcome, TenantId, Timestamp};
use sqlx::{AnyConnection, AssertSqlSafe};

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

    /// Ends an open ingest with the version that it became, or that holds all of it.
    pub(super) async fn close_ingest(
        &self,
        tx: &mut AnyConnection,
        tenant: &TenantId,
        ingest: &IngestId,
        version: KnowledgeVersion,
        removed: usize,
    ) -> Result<(), Fault> {
        self.open_ingest(tx, tenant, ingest).await?;
        let update = "UPDATE ingests SET state = ?, version = ?, removed = ? WHERE tenant = ? AND ingest = ?";
        let update = sqlx::query(update).bind(rows::word(&IngestState::Published)?).bind(rows::int(version.0));
        let update = update.bind(rows::int(removed as u64)).bind(tenant.as_str().to_owned());
        update.bind(ingest.as_str().to_owned()).execute(tx).await?;
        Ok(())
    }

    async fn close_unchanged(
        &self,
        tenant: &TenantId,
        ingest: &IngestId,
        version: KnowledgeVersion,
    ) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        self.close_ingest(&mut tx, tenant, ingest, version, 0).await?;
        tx.commit().await
    }

    async fn counted(&self, tenant: &TenantId, ingest: &IngestId) -> Result<IngestCounts, Fault> {
        let select = "SELECT i.removed, s.outcome, COUNT(s.outcome) AS documents FROM ingests i
            LEFT JOIN staged s ON s.tenant = i.tenant AND s.ingest = i.ingest
            WHERE i.tenant = ? AND i.ingest = ? GROUP BY i.removed, s.outcome";
        let select = sqlx::query(select).bind(tenant.as_str().to_owned()).bind(ingest.as_str().to_owned());
        let rows = select.fetch_all(&self.pool).await?;
        let first = rows.first().ok_or(CatalogError::Missing("ingest"))?;
        let mut counts = IngestCounts { removed: rows::number(first, "removed")?, ..IngestCounts::default() };
        for row in &rows {
            let documents: u32 = rows::number(row, "documents")?;
            if documents > 0 {
                *match rows::enumerated(row, "outcome")? {
                    Outcome::Added => &mut counts.added,
                    Outcome::Replaced => &mut counts.replaced,
                    Outcome::Unchanged => &mut counts.unchanged,
                    Outcome::Failed => &mut counts.failed,
                } = documents;
            }
        }
        Ok(counts)
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
            recipe, warnings, failure, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let replace = sqlx::query(replace).bind(tenant.as_str().to_owned()).bind(ingest.as_str().to_owned());
        let replace = replace.bind(staged.name.clone()).bind(staged.id.as_str().to_owned()).bind(staged.title.clone());
        let replace = replace.bind(rows::word(&staged.format)?).bind(staged.original.hash.as_str().to_owned());
        let replace = replace.bind(rows::int(staged.original.bytes)).bind(i64::from(staged.passages));
        let replace = replace.bind(staged.recipe.clone()).bind(rows::json(&staged.warnings)?);
        let replace = replace.bind(rows::json(&staged.failure)?).bind(rows::word(&staged.outcome)?);
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

    async fn forget_older(&self, tenant: &TenantId, before: Timestamp) -> Result<Vec<ContentHash>, Fault> {
        let mut tx = self.begin().await?;
        let of =
            |statement: &'static str| sqlx::query(statement).bind(tenant.as_str().to_owned()).bind(rows::int(before.0));
        let gone = of("SELECT DISTINCT s.original FROM staged s
            JOIN ingests i ON i.tenant = s.tenant AND i.ingest = s.ingest WHERE i.tenant = ? AND i.begun < ?");
        let gone = gone.fetch_all(&mut *tx).await?;
        of("DELETE FROM ingests WHERE tenant = ? AND begun < ?").execute(&mut *tx).await?;
        tx.commit().await?;
        gone.iter().map(rows::hash).collect()
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

    async fn counts(&self, tenant: &TenantId, ingest: &IngestId) -> Result<IngestCounts, CatalogError> {
        Ok(self.counted(tenant, ingest).await?)
    }

    async fn close(&self, tenant: &TenantId, ingest: &IngestId, version: KnowledgeVersion) -> Result<(), CatalogError> {
        retried(|| self.close_unchanged(tenant, ingest, version)).await
    }

    async fn abort(&self, tenant: &TenantId, ingest: &IngestId) -> Result<(), CatalogError> {
        retried(|| self.abort_ingest(tenant, ingest)).await
    }

    async fn forget_ingests(&self, tenant: &TenantId, before: Timestamp) -> Result<Vec<ContentHash>, CatalogError> {
        retried(|| self.forget_older(tenant, before)).await
    }
}
