//! Questions that were not answered.

use super::{Fault, Sql, retried, rows};
use crate::{CatalogError, Question, Questions};
use async_trait::async_trait;
use protocol::{TenantId, Timestamp};

impl Sql {
    async fn keep(&self, tenant: &TenantId, question: &Question, most: usize) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let insert = "INSERT INTO questions (tenant, asked, question, lang, confidence, quantized, embedder)
            VALUES (?, ?, ?, ?, ?, ?, ?)";
        let insert = sqlx::query(insert).bind(tenant.as_str().to_owned()).bind(rows::int(question.at.0));
        let insert = insert.bind(question.text.clone()).bind(question.lang.as_str().to_owned());
        let insert = insert.bind(f64::from(question.confidence)).bind(rows::json(&question.vector)?);
        insert.bind(question.embedder.clone()).execute(&mut *tx).await?;
        let select = "SELECT asked, id FROM questions WHERE tenant = ? ORDER BY asked DESC, id DESC LIMIT 1 OFFSET ?";
        let select = sqlx::query(select).bind(tenant.as_str().to_owned()).bind(rows::int(most as u64));
        if let Some(row) = select.fetch_optional(&mut *tx).await? {
            let (asked, id): (i64, i64) = (rows::number(&row, "asked")?, rows::number(&row, "id")?);
            let delete = "DELETE FROM questions WHERE tenant = ? AND (asked < ? OR (asked = ? AND id <= ?))";
            let delete = sqlx::query(delete).bind(tenant.as_str().to_owned()).bind(asked).bind(asked).bind(id);
            delete.execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    async fn forget_until(&self, tenant: &TenantId, until: Timestamp) -> Result<(), Fault> {
        let mut tx = self.begin().await?;
        let delete = sqlx::query("DELETE FROM questions WHERE tenant = ? AND asked <= ?");
        delete.bind(tenant.as_str().to_owned()).bind(rows::int(until.0)).execute(&mut *tx).await?;
        tx.commit().await
    }
}

#[async_trait]
impl Questions for Sql {
    async fn ask(&self, tenant: &TenantId, question: &Question, most: usize) -> Result<(), CatalogError> {
        retried(|| self.keep(tenant, question, most)).await
    }

    async fn questions(&self, tenant: &TenantId, most: usize) -> Result<Vec<Question>, CatalogError> {
        let select = "SELECT * FROM questions WHERE tenant = ? ORDER BY asked DESC, id DESC LIMIT ?";
        let select = sqlx::query(select).bind(tenant.as_str().to_owned()).bind(rows::int(most as u64));
        let rows = select.fetch_all(&self.pool).await.map_err(Fault::from)?;
        Ok(rows.iter().map(rows::question).collect::<Result<_, _>>()?)
    }

    async fn dismiss(&self, tenant: &TenantId, until: Timestamp) -> Result<(), CatalogError> {
        retried(|| self.forget_until(tenant, until)).await
    }
}
