//! Builds: who may change a tenant's knowledge, and how a version comes to be served.

use super::{Fault, Sql, insert, rows, versions::is_kept};
use crate::{Build, CatalogError, Work};
use protocol::{ContentHash, KnowledgeVersion, TenantId, Timestamp};
use sqlx::{AnyConnection, AssertSqlSafe};
use std::time::Duration;

/// A tenant's row, which this transaction has locked.
struct Locked {
    served: KnowledgeVersion,
    latest: KnowledgeVersion,
    /// The version that is built; 0 if there is none.
    build: KnowledgeVersion,
    base: KnowledgeVersion,
    expires: Timestamp,
}

impl Locked {
    fn is_built(&self, now: Timestamp) -> bool {
        self.build.0 > 0 && self.expires > now
    }

    /// Whether `build` is the one that was begun last, and nobody took what it changes away.
    fn holds(&self, build: &Build) -> Result<(), CatalogError> {
        let same = self.build == build.version && self.base == build.base && self.served == build.base;
        if same && build.version.0 > 0 { Ok(()) } else { Err(CatalogError::Conflict) }
    }
}

fn end(now: Timestamp, lease: Duration) -> i64 {
    rows::int(now.after_ms(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)).0)
}

impl Sql {
    async fn locked(&self, tx: &mut AnyConnection, tenant: &TenantId) -> Result<Locked, Fault> {
        let select = "SELECT served, latest, build, base, expires FROM knowledge WHERE tenant = ? {for_update}";
        let select = || sqlx::query(AssertSqlSafe(self.dialect.fill(select))).bind(tenant.as_str().to_owned());
        let row = match select().fetch_optional(&mut *tx).await? {
            Some(row) => row,
            None => {
                let insert = "INSERT {or_ignore} INTO knowledge VALUES (?, 0, 0, 0, 0, 0)";
                let insert = sqlx::query(AssertSqlSafe(self.dialect.fill(insert)));
                insert.bind(tenant.as_str().to_owned()).execute(&mut *tx).await?;
                select().fetch_one(&mut *tx).await?
            }
        };
        Ok(Locked {
            served: rows::version(&row, "served")?,
            latest: rows::version(&row, "latest")?,
            build: rows::version(&row, "build")?,
            base: rows::version(&row, "base")?,
            expires: Timestamp(rows::number(&row, "expires")?),
        })
    }

    /// See [`crate::Versions::begin_build`].
    pub(super) async fn build(&self, tenant: &TenantId, now: Timestamp, lease: Duration) -> Result<Build, Fault> {
        let mut tx = self.begin().await?;
        let locked = self.locked(&mut tx, tenant).await?;
        if locked.is_built(now) {
            return Err(CatalogError::Conflict.into());
        }
        let build = Build { version: KnowledgeVersion(locked.latest.0 + 1), base: locked.served };
        let statement = "UPDATE knowledge SET latest = ?, build = ?, base = ?, expires = ? WHERE tenant = ?";
        let number = rows::int(build.version.0);
        let update = sqlx::query(statement).bind(number).bind(number).bind(rows::int(build.base.0));
        update.bind(end(now, lease)).bind(tenant.as_str().to_owned()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(build)
    }

    /// See [`crate::Versions::renew_build`].
    pub(super) async fn renew(
        &self,
        tenant: &TenantId,
        build: &Build,
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        self.locked(&mut tx, tenant).await?.holds(build)?;
        let update = sqlx::query("UPDATE knowledge SET expires = ? WHERE tenant = ?").bind(end(now, lease));
        update.bind(tenant.as_str().to_owned()).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// See [`crate::Versions::publish`].
    pub(super) async fn serve(
        &self,
        tenant: &TenantId,
        build: &Build,
        work: &Work,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let locked = self.locked(&mut tx, tenant).await?;
        if locked.served == build.version && build.version.0 > 0 {
            return Ok(());
        }
        locked.holds(build)?;
        undo(&mut tx, tenant, build.base).await?;
        insert::change(&mut tx, tenant, build, work).await?;
        insert::version(&mut tx, tenant, build, work, now).await?;
        if let Some(ingest) = &work.ingest {
            self.close_ingest(&mut tx, tenant, ingest, build.version, insert::dropped(&work.change)).await?;
        }
        let update = "UPDATE knowledge SET served = ?, build = 0, expires = 0 WHERE tenant = ?";
        let update = sqlx::query(update).bind(rows::int(build.version.0)).bind(tenant.as_str().to_owned());
        update.execute(&mut *tx).await?;
        tx.commit().await
    }

    /// See [`crate::Versions::abort_build`].
    pub(super) async fn give_up(&self, tenant: &TenantId, build: &Build) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let update = sqlx::query("UPDATE knowledge SET build = 0, expires = 0 WHERE tenant = ? AND build = ?");
        let update = update.bind(tenant.as_str().to_owned()).bind(rows::int(build.version.0));
        update.execute(&mut *tx).await?;
        tx.commit().await
    }

    /// See [`crate::Versions::rollback`]. A build that has expired loses what it changes.
    pub(super) async fn return_to(&self, tenant: &TenantId, to: KnowledgeVersion, now: Timestamp) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let locked = self.locked(&mut tx, tenant).await?;
        is_kept(&mut tx, tenant, to).await?;
        if locked.is_built(now) {
            return Err(CatalogError::Conflict.into());
        }
        let update = sqlx::query("UPDATE knowledge SET served = ?, build = 0, expires = 0 WHERE tenant = ?");
        update.bind(rows::int(to.0)).bind(tenant.as_str().to_owned()).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// See [`crate::Versions::prune`].
    pub(super) async fn forget_below(
        &self,
        tenant: &TenantId,
        oldest: KnowledgeVersion,
    ) -> Result<Vec<ContentHash>, Fault> {
        let mut tx = self.begin().await?;
        if oldest > self.locked(&mut tx, tenant).await?.served {
            return Err(CatalogError::Conflict.into());
        }
        let of = |statement: &'static str, version: i64| {
            sqlx::query(statement).bind(tenant.as_str().to_owned()).bind(version)
        };
        of("DELETE FROM versions WHERE tenant = ? AND version < ?", rows::int(oldest.0)).execute(&mut *tx).await?;
        // `oldest` need not be a version: what ended before the lowest one that is kept goes too.
        let lowest = "SELECT COALESCE(MIN(version), 0) AS lowest FROM versions WHERE tenant = ?";
        let lowest = sqlx::query(lowest).bind(tenant.as_str().to_owned()).fetch_one(&mut *tx).await?;
        let lowest = rows::number(&lowest, "lowest")?;
        let gone = of("SELECT DISTINCT original FROM documents WHERE tenant = ? AND removed <= ?", lowest);
        let gone = gone.fetch_all(&mut *tx).await?;
        of("DELETE FROM documents WHERE tenant = ? AND removed <= ?", lowest).execute(&mut *tx).await?;
        tx.commit().await?;
        gone.iter().map(rows::hash).collect()
    }

    /// Reads and writes nothing of worth.
    pub(super) async fn touch(&self) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM knowledge WHERE tenant = ''").execute(&mut *tx).await?;
        tx.commit().await
    }
}

/// Versions after `base` were rolled back. What they brought is part of no version any more, until [`Sql::forget_below`]
/// tells of it; what they removed is there again.
async fn undo(tx: &mut AnyConnection, tenant: &TenantId, base: KnowledgeVersion) -> Result<(), Fault> {
    let base = rows::int(base.0);
    for statement in [
        "UPDATE documents SET removed = added WHERE tenant = ? AND added > ?",
        "DELETE FROM versions WHERE tenant = ? AND version > ?",
    ] {
        sqlx::query(statement).bind(tenant.as_str().to_owned()).bind(base).execute(&mut *tx).await?;
    }
    let restore =
        "UPDATE documents SET removed = ? WHERE tenant = ? AND removed > ? AND removed < ? AND removed > added";
    let restore = sqlx::query(restore).bind(i64::MAX).bind(tenant.as_str().to_owned());
    restore.bind(base).bind(i64::MAX).execute(&mut *tx).await?;
    Ok(())
}
