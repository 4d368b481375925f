//! Bringing an index to a version that others have published.

use super::{Knowledge, catalogued};
use crate::space::Space;
use catalog::Change;
use protocol::{ErrorCode, Failure, KnowledgeVersion, TenantId, Timestamp, VersionInfo};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// One tenant's index is brought to a version by one task at a time.
#[derive(Default)]
pub(super) struct Syncs(Mutex<HashMap<TenantId, Weak<tokio::sync::Mutex<()>>>>);

impl Syncs {
    /// Whether the tenant's index is being brought to a version.
    fn is_busy(&self, tenant: &TenantId) -> bool {
        let syncs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        syncs.get(tenant).is_some_and(|sync| sync.strong_count() > 0)
    }

    fn of(&self, tenant: &TenantId) -> Arc<tokio::sync::Mutex<()>> {
        let mut syncs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        syncs.retain(|_, sync| sync.strong_count() > 0);
        if let Some(sync) = syncs.get(tenant).and_then(Weak::upgrade) {
            return sync;
        }
        let sync = Arc::default();
        syncs.insert(tenant.clone(), Arc::downgrade(&sync));
        sync
    }
}

impl Knowledge {
    /// Brings the space's index to `version` in the background, unless that is being done. An index that several workers
    /// share is brought there under the tenant's lock.
    pub fn sync_aside(self: &Arc<Self>, space: &Arc<Space>, tenant: &TenantId, version: KnowledgeVersion) {
        if self.syncs.is_busy(tenant) {
            return;
        }
        let (knowledge, space, tenant) = (self.clone(), space.clone(), tenant.clone());
        tokio::spawn(async move {
            if let Err(error) = knowledge.sync_alone(&space, &tenant, version).await {
                tracing::warn!(%tenant, %error, version = version.0, "the index is behind what is served");
            }
        });
    }

    async fn sync_alone(
        self: &Arc<Self>,
        space: &Arc<Space>,
        tenant: &TenantId,
        version: KnowledgeVersion,
    ) -> Result<(), Failure> {
        let never = Timestamp(u64::MAX);
        if !space.index.is_shared() {
            return self.sync(space, tenant, version, never).await;
        }
        let (build, renewal) = self.lock(tenant, never).await?;
        let synced = self.sync(space, tenant, version, never).await;
        drop(renewal);
        self.stores.catalog.abort_build(tenant, &build).await.map_err(catalogued)?;
        synced
    }

    /// The space's index holds `version` when this returns.
    pub async fn sync(
        self: &Arc<Self>,
        space: &Arc<Space>,
        tenant: &TenantId,
        version: KnowledgeVersion,
        deadline: Timestamp,
    ) -> Result<(), Failure> {
        let sync = self.syncs.of(tenant);
        let _syncing = sync.lock().await;
        let held = self.indexing(space, tenant, |index, tenant| index.holds(tenant)).await?;
        if held >= version {
            return Ok(());
        }
        let versions = self.stores.catalog.versions(tenant).await.map_err(catalogued)?;
        let (from, steps) = way(&versions, space.embedder.id(), held, version);
        if steps.is_empty() {
            let message = format!("version {} cannot be brought into the index; rebuild the knowledge", version.0);
            return Err(Failure::new(ErrorCode::Unavailable, message));
        }
        tracing::info!(%tenant, from = from.0, to = version.0, "the index is brought to the served version");
        self.indexing(space, tenant, move |index, tenant| match from.0 {
            0 => index.clear(tenant),
            _ => index.undo(tenant, from),
        })
        .await?;
        let mut last = from;
        for step in steps {
            self.step(space, tenant, last, step, deadline).await?;
            last = step;
        }
        Ok(())
    }

    async fn step(
        self: &Arc<Self>,
        space: &Arc<Space>,
        tenant: &TenantId,
        from: KnowledgeVersion,
        to: KnowledgeVersion,
        deadline: Timestamp,
    ) -> Result<(), Failure> {
        let Change { put, removed } = self.stores.catalog.changes(tenant, from, to).await.map_err(catalogued)?;
        if from.0 > 0 {
            self.indexing(space, tenant, move |index, tenant| index.remove(tenant, to, &removed)).await?;
        }
        self.index_all(space, tenant, to, &put, deadline).await.map(drop)
    }
}

/// The versions on the way to `to`, oldest first, and what they start from: the last of `to`'s ancestors that an index with
/// everything up to `held` has, or 0. All of them have the vectors of `embedder`; none, if there is no such way.
fn way(
    versions: &[VersionInfo],
    embedder: &str,
    held: KnowledgeVersion,
    to: KnowledgeVersion,
) -> (KnowledgeVersion, Vec<KnowledgeVersion>) {
    let info = |version| versions.iter().find(|info| info.version == version && info.embedder == embedder);
    let mut steps = Vec::new();
    let mut at = to;
    while let Some(info) = info(at) {
        if at <= held {
            return (at, steps.into_iter().rev().collect());
        }
        steps.push(at);
        at = info.base;
    }
    (KnowledgeVersion(0), steps.into_iter().rev().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(of: &[(u64, u64, &str)]) -> Vec<VersionInfo> {
        let info = |&(version, base, embedder): &(u64, u64, &str)| VersionInfo {
            version: KnowledgeVersion(version),
            base: KnowledgeVersion(base),
            published: Timestamp(0),
            embedder: embedder.into(),
            documents: 1,
            passages: 1,
            served: false,
        };
        of.iter().map(info).collect()
    }

    fn go(versions: &[VersionInfo], held: u64, to: u64) -> (u64, Vec<u64>) {
        let (from, steps) = way(versions, "e", KnowledgeVersion(held), KnowledgeVersion(to));
        (from.0, steps.into_iter().map(|step| step.0).collect())
    }

    #[test]
    fn the_way_starts_from_what_the_index_has() {
        let all = versions(&[(1, 0, "e"), (2, 1, "e"), (3, 2, "e")]);
        assert_eq!(go(&all, 1, 3), (1, vec![2, 3]));
        assert_eq!(go(&all, 0, 3), (0, vec![1, 2, 3]));
        assert_eq!(go(&all[1..], 0, 3), (0, vec![2, 3]), "the oldest that is kept stands for all before");
    }

    #[test]
    fn what_was_rolled_back_is_no_part_of_the_way() {
        let all = versions(&[(1, 0, "e"), (2, 1, "e"), (3, 1, "e")]);
        assert_eq!(go(&all, 2, 3), (1, vec![3]));
    }

    #[test]
    fn vectors_of_another_embedder_are_no_part_of_the_way() {
        let all = versions(&[(1, 0, "f"), (2, 1, "e"), (3, 2, "e")]);
        assert_eq!(go(&all, 0, 3), (0, vec![2, 3]));
        assert_eq!(go(&all, 0, 1), (0, vec![]));
    }
}
