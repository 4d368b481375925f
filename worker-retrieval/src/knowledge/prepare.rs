//! From an original to what the index takes.

use super::{Knowledge, archived, blocking, prepared::Prepared};
use crate::{ingest, space::Space};
use catalog::{ArchiveError, Key};
use protocol::{DocumentFormat, DocumentId, ErrorCode, Failure, Original, TenantId, Timestamp};
use std::sync::Arc;

/// A document whose original lies in the archive.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub id: DocumentId,
    pub name: String,
    pub format: DocumentFormat,
    pub original: Original,
}

impl Source {
    /// How it is prepared for `space`.
    pub fn recipe(&self, space: &Space) -> String {
        format!("{}{}", space.recipe, self.format as u8)
    }
}

impl Knowledge {
    /// What was prepared from `source`, now or before; work that is not done at `deadline` is given up.
    pub(super) async fn prepared(
        &self,
        space: &Arc<Space>,
        tenant: &TenantId,
        source: &Source,
        deadline: Timestamp,
    ) -> Result<Prepared, Failure> {
        let key = Key::prepared(tenant, &source.original.hash, &source.id, &source.recipe(space));
        match self.stores.archive.get(&key).await {
            Ok(bytes) => match Prepared::decode(&bytes, space.embedder.dimensions()) {
                Some(prepared) => return Ok(prepared),
                None => {
                    tracing::warn!(%tenant, document = %source.id, "a prepared document is damaged; it is prepared anew")
                }
            },
            Err(ArchiveError::Missing(_)) => {}
            Err(error) => return Err(archived(error)),
        }
        let prepared = self.prepare(space, tenant, source, deadline).await?;
        let bytes = prepared.encode().map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
        self.stores.archive.put(&key, bytes).await.map_err(archived)?;
        Ok(prepared)
    }

    async fn prepare(
        &self,
        space: &Arc<Space>,
        tenant: &TenantId,
        source: &Source,
        deadline: Timestamp,
    ) -> Result<Prepared, Failure> {
        let original = Key::original(tenant, &source.original.hash);
        let content = self.stores.archive.get(&original).await.map_err(archived)?;
        let (space, source, config, clock) = (space.clone(), source.clone(), self.config.clone(), self.clock.clone());
        let reader = self.reader.clone();
        blocking(move || {
            let late = || Failure::new(ErrorCode::DeadlineExceeded, "the document was not embedded in time; split it");
            let go_on = || if deadline.ms_from(clock.now()) == 0 { Err(late()) } else { Ok(()) };
            let draft = ingest::read(&config, &*space.embedder, &reader, &source.name, source.format, &content)?;
            draft.embed(&*space.embedder, config.batch, go_on)
        })
        .await
    }
}
