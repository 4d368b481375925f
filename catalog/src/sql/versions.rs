//! Versions: what readers ask, and the port.

use super::{Fault, Sql, retried, rows};
use crate::{Build, CatalogError, Change, Document, FaqEntry, Versions, Work};
use async_trait::async_trait;
use protocol::{ContentHash, DocumentId, KnowledgeVersion, TenantId, Timestamp, VersionInfo};
use sqlx::{AnyConnection, QueryBuilder, any::AnyRow};
use std::{collections::BTreeSet, time::Duration};

/// Hashes that are looked for at once.
const AT_ONCE: usize = 500;

const OF_VERSION: &str = "FROM documents d JOIN versions v ON v.tenant = d.tenant
    WHERE v.tenant = ? AND v.version = ? AND d.added <= v.version AND d.removed > v.version";

impl Sql {
    /// Rows that belong to a version, by one statement; where there are none, whether there is such a version.
    async fn of_version(
        &self,
        statement: String,
        tenant: &TenantId,
        version: KnowledgeVersion,
    ) -> Result<Vec<AnyRow>, Fault> {
        let query = sqlx::query(sqlx::AssertSqlSafe(statement));
        let rows = query.bind(tenant.as_str().to_owned()).bind(rows::int(version.0)).fetch_all(&self.pool).await?;
        if rows.is_empty() && version.0 > 0 {
            is_kept(&mut *self.pool.acquire().await?, tenant, version).await?;
        }
        Ok(rows)
    }

    async fn needed_of(&self, tenant: &TenantId, hashes: &[ContentHash]) -> Result<BTreeSet<ContentHash>, Fault> {
        let mut query = QueryBuilder::new("SELECT original FROM documents WHERE removed > added AND tenant = ");
        query.push_bind(tenant.as_str().to_owned());
        among(query.push(" AND original IN "), hashes);
        query.push(
            " UNION SELECT s.original FROM staged s JOIN ingests i ON i.tenant = s.tenant AND i.ingest = s.ingest",
        );
        query.push(" WHERE i.state = 'open' AND s.tenant = ").push_bind(tenant.as_str().to_owned());
        among(query.push(" AND s.original IN "), hashes);
        let rows = query.build().fetch_all(&self.pool).await?;
        rows.iter().map(rows::hash).collect()
    }

    async fn changed(&self, tenant: &TenantId, from: KnowledgeVersion, to: KnowledgeVersion) -> Result<Change, Fault> {
        let put = format!("SELECT d.* {OF_VERSION} AND d.added > {} ORDER BY d.document", rows::int(from.0));
        let put = self.of_version(put, tenant, to).await?;
        let removed =
            format!("SELECT d.document {OF_VERSION} AND d.removed <= {} ORDER BY d.document", rows::int(to.0));
        let removed = self.of_version(removed, tenant, from).await?;
        Ok(Change {
            put: put.iter().map(rows::document).collect::<Result<_, _>>()?,
            removed: removed.iter().map(rows::document_id).collect::<Result<_, _>>()?,
        })
    }
}

/// `(?, ?, …)`
fn among(query: &mut QueryBuilder<sqlx::Any>, hashes: &[ContentHash]) {
    let mut list = query.push("(").separated(", ");
    for hash in hashes {
        list.push_bind(hash.as_str().to_owned());
    }
    list.push_unseparated(")");
}

/// [`CatalogError::Missing`] unless the version is kept.
pub(super) async fn is_kept(
    connection: &mut AnyConnection,
    tenant: &TenantId,
    version: KnowledgeVersion,
) -> Result<(), Fault> {
    let found = sqlx::query("SELECT version FROM versions WHERE tenant = ? AND version = ?");
    let found = found.bind(tenant.as_str().to_owned()).bind(rows::int(version.0)).fetch_optional(connection).await?;
    found.map(drop).ok_or_else(|| CatalogError::Missing("version").into())
}

#[async_trait]
impl Versions for Sql {
    async fn served(&self, tenant: &TenantId) -> Result<KnowledgeVersion, CatalogError> {
        let row = sqlx::query("SELECT served FROM knowledge WHERE tenant = ?").bind(tenant.as_str().to_owned());
        let row = row.fetch_optional(&self.pool).await.map_err(Fault::from)?;
        Ok(row.map_or(Ok(KnowledgeVersion::default()), |row| rows::version(&row, "served"))?)
    }

    async fn versions(&self, tenant: &TenantId) -> Result<Vec<VersionInfo>, CatalogError> {
        let statement = "SELECT v.*, k.served FROM versions v JOIN knowledge k ON k.tenant = v.tenant
            WHERE v.tenant = ? ORDER BY v.version DESC";
        let rows = sqlx::query(statement).bind(tenant.as_str().to_owned()).fetch_all(&self.pool).await;
        Ok(rows.map_err(Fault::from)?.iter().map(rows::version_info).collect::<Result<_, _>>()?)
    }

    async fn documents(&self, tenant: &TenantId, version: KnowledgeVersion) -> Result<Vec<Document>, CatalogError> {
        let statement = format!("SELECT d.* {OF_VERSION} ORDER BY d.document");
        let rows = self.of_version(statement, tenant, version).await?;
        Ok(rows.iter().map(rows::document).collect::<Result<_, _>>()?)
    }

    async fn document(
        &self,
        tenant: &TenantId,
        version: KnowledgeVersion,
        id: &DocumentId,
    ) -> Result<Option<Document>, CatalogError> {
        let statement = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT d.* {OF_VERSION} AND d.document = ?")));
        let statement = statement.bind(tenant.as_str().to_owned()).bind(rows::int(version.0));
        let row = statement.bind(id.as_str().to_owned()).fetch_optional(&self.pool).await.map_err(Fault::from)?;
        Ok(row.as_ref().map(rows::document).transpose()?)
    }

    async fn changes(
        &self,
        tenant: &TenantId,
        from: KnowledgeVersion,
        to: KnowledgeVersion,
    ) -> Result<Change, CatalogError> {
        Ok(self.changed(tenant, from, to).await?)
    }

    async fn faq(&self, tenant: &TenantId, version: KnowledgeVersion) -> Result<Vec<FaqEntry>, CatalogError> {
        let statement = "SELECT f.* FROM versions v JOIN documents d ON d.tenant = v.tenant
            JOIN faq f ON f.tenant = d.tenant AND f.document = d.document AND f.added = d.added
            WHERE v.tenant = ? AND v.version = ? AND d.added <= v.version AND d.removed > v.version
            ORDER BY f.document, f.position";
        let rows = self.of_version(statement.into(), tenant, version).await?;
        Ok(rows.iter().map(rows::faq).collect::<Result<_, _>>()?)
    }

    async fn begin_build(&self, tenant: &TenantId, now: Timestamp, lease: Duration) -> Result<Build, CatalogError> {
        retried(|| self.build(tenant, now, lease)).await
    }

    async fn renew_build(
        &self,
        tenant: &TenantId,
        build: &Build,
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), CatalogError> {
        retried(|| self.renew(tenant, build, now, lease)).await
    }

    async fn publish(&self, tenant: &TenantId, build: &Build, work: Work, now: Timestamp) -> Result<(), CatalogError> {
        retried(|| self.serve(tenant, build, &work, now)).await
    }

    async fn abort_build(&self, tenant: &TenantId, build: &Build) -> Result<(), CatalogError> {
        retried(|| self.give_up(tenant, build)).await
    }

    async fn rollback(&self, tenant: &TenantId, to: KnowledgeVersion, now: Timestamp) -> Result<(), CatalogError> {
        retried(|| self.return_to(tenant, to, now)).await
    }

    async fn prune(&self, tenant: &TenantId, oldest: KnowledgeVersion) -> Result<Vec<ContentHash>, CatalogError> {
        retried(|| self.forget_below(tenant, oldest)).await
    }

    async fn needed(&self, tenant: &TenantId, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, CatalogError> {
        let mut needed = BTreeSet::new();
        for hashes in hashes.chunks(AT_ONCE) {
            needed.append(&mut self.needed_of(tenant, hashes).await?);
        }
        Ok(needed.into_iter().collect())
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, CatalogError> {
        let rows = sqlx::query("SELECT tenant FROM knowledge WHERE served > 0 ORDER BY tenant").fetch_all(&self.pool);
        let rows = rows.await.map_err(Fault::from)?;
        Ok(rows.iter().map(rows::tenant).collect::<Result<_, _>>()?)
    }

    async fn check(&self) -> Result<(), CatalogError> {
        retried(|| self.touch()).await
    }
}
