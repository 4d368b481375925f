//! Building a version: aside, under the tenant's lock, and served at once.

mod brought;
mod lock;

use super::{Knowledge, add::is_same, catalogued, prepare::Source, prepared::Prepared};
use crate::{
    index::{IndexError, NewDocument},
    space::Space,
};
use catalog::{Build, CatalogError, Change, Document, Staged, Work};
use metrics::counter;
use protocol::{DocumentId, ErrorCode, Failure, IngestId, KnowledgeVersion, TenantId, Timestamp};
use runtime::metric;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// What is to be published.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// Documents that were read.
    pub put: Vec<Staged>,
    /// Documents to be removed.
    pub removed: Vec<DocumentId>,
    /// Whether documents are removed that neither `put` nor `unread` names.
    pub remove_others: bool,
    /// Documents that could not be read: what is served of them stays.
    pub unread: Vec<DocumentId>,
    /// The ingest that ends with it.
    pub ingest: Option<IngestId>,
    /// Whether every document is brought in again.
    pub anew: bool,
}

/// What a build changes, and what of it is in the base.
struct Draft {
    put: Vec<Document>,
    removed: Vec<DocumentId>,
    /// Nothing of the base is in the index that is built in.
    is_fresh: bool,
}

impl Knowledge {
    /// Publishes `plan` as a version and returns it; the served one, if the plan changes nothing.
    pub(super) async fn publish(
        self: &Arc<Self>,
        tenant: &TenantId,
        deadline: Timestamp,
        plan: Plan,
    ) -> Result<KnowledgeVersion, Failure> {
        let (build, renewal) = self.lock(tenant, deadline).await?;
        let space = self.spaces.current().clone();
        let published = self.build(&space, tenant, deadline, &build, plan).await;
        drop(renewal);
        match published {
            Ok(true) => {
                counter!(metric::KNOWLEDGE_PUBLISHED, "result" => "ok").increment(1);
                self.tell(tenant, build.version).await;
                let (knowledge, tenant) = (self.clone(), tenant.clone());
                tokio::spawn(async move { knowledge.collect(&tenant).await });
                Ok(build.version)
            }
            Ok(false) => {
                self.give_up(tenant, &build, None).await;
                Ok(build.base)
            }
            Err(failure) => {
                counter!(metric::KNOWLEDGE_PUBLISHED, "result" => "failed").increment(1);
                self.give_up(tenant, &build, Some(&space)).await;
                Err(failure)
            }
        }
    }

    /// `false`: the plan changes nothing.
    async fn build(
        self: &Arc<Self>,
        space: &Arc<Space>,
        tenant: &TenantId,
        deadline: Timestamp,
        build: &Build,
        plan: Plan,
    ) -> Result<bool, Failure> {
        let ingest = plan.ingest.clone();
        let draft = self.draft(space, tenant, build, plan).await?;
        if draft.put.is_empty() && draft.removed.is_empty() {
            if let Some(ingest) = &ingest {
                self.stores.catalog.close(tenant, ingest, build.base).await.map_err(catalogued)?;
            }
            return Ok(false);
        }
        let faq = self.bring(space, tenant, deadline, build, &draft).await?;
        let Draft { put, removed, .. } = draft;
        let work = Work { change: Change { put, removed }, faq, embedder: space.embedder.id().into(), ingest };
        match self.stores.catalog.publish(tenant, build, work, self.clock.now()).await {
            Ok(()) => Ok(true),
            // It may have been done.
            Err(error @ CatalogError::Unavailable(_)) => match self.stores.catalog.served(tenant).await {
                Ok(served) if served == build.version => Ok(true),
                _ => Err(catalogued(error)),
            },
            Err(error) => Err(catalogued(error)),
        }
    }

    async fn draft(&self, space: &Arc<Space>, tenant: &TenantId, build: &Build, plan: Plan) -> Result<Draft, Failure> {
        let documents = self.stores.catalog.documents(tenant, build.base).await.map_err(catalogued)?;
        let base: BTreeMap<DocumentId, Document> = documents.into_iter().map(|one| (one.id.clone(), one)).collect();
        let is_fresh = self.is_fresh(space, tenant, build.base).await?;
        let anew = plan.anew || is_fresh;
        let mut draft = Draft { put: Vec::new(), removed: Vec::new(), is_fresh };
        let named: HashSet<DocumentId> = plan.put.iter().map(|staged| staged.id.clone()).chain(plan.unread).collect();
        for staged in plan.put {
            let before = base.get(&staged.id);
            let is_served = |before: &Document| is_same(before, &staged.original, staged.format, &staged.recipe);
            if anew || !before.is_some_and(is_served) {
                draft.removed.extend(before.map(|before| before.id.clone()));
                draft.put.push(staged.document(build.version));
            }
        }
        let put: HashSet<DocumentId> = draft.put.iter().map(|document| document.id.clone()).collect();
        for (id, document) in base {
            if plan.removed.contains(&id) || (plan.remove_others && !named.contains(&id)) {
                draft.removed.push(id);
            } else if anew && !put.contains(&id) {
                let recipe = source(&document).recipe(space);
                draft.removed.push(id);
                draft.put.push(Document { recipe, added: build.version, ..document });
            }
        }
        Ok(draft)
    }

    /// Whether the base is not, and cannot be, in the space's index: it was built with another embedder, or the index was
    /// lost.
    async fn is_fresh(&self, space: &Arc<Space>, tenant: &TenantId, base: KnowledgeVersion) -> Result<bool, Failure> {
        if base.0 == 0 {
            return Ok(true);
        }
        let versions = self.stores.catalog.versions(tenant).await.map_err(catalogued)?;
        let info = versions.into_iter().find(|info| info.version == base);
        Ok(info.is_none_or(|info| info.embedder != space.embedder.id()))
    }

    /// What the build wrote is undone as far as it can be; the next build undoes the rest.
    async fn give_up(&self, tenant: &TenantId, build: &Build, space: Option<&Arc<Space>>) {
        if let Some(space) = space {
            let base = build.base;
            let undone = self.indexing(space, tenant, move |index, tenant| index.undo(tenant, base)).await;
            if let Err(error) = undone {
                tracing::warn!(%tenant, %error, version = base.0, "a build that came to nothing is undone later");
            }
        }
        if let Err(error) = self.stores.catalog.abort_build(tenant, build).await {
            tracing::warn!(%tenant, %error, "a build that came to nothing holds the tenant until its lease ends");
        }
    }

    /// Does `work` on the space's index.
    pub(super) async fn indexing<T: Send + 'static>(
        &self,
        space: &Arc<Space>,
        tenant: &TenantId,
        work: impl FnOnce(&dyn crate::index::SearchIndex, &TenantId) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (space, tenant) = (space.clone(), tenant.clone());
        super::blocking(move || work(&*space.index, &tenant).map_err(|error| indexed(&tenant, error))).await
    }
}

/// What a client is told of an index that did not do it.
pub(crate) fn indexed(tenant: &TenantId, error: IndexError) -> Failure {
    if let IndexError::TooMany(..) = error {
        return Failure::new(ErrorCode::PayloadTooLarge, error.to_string());
    }
    tracing::error!(%tenant, %error, "the search index failed");
    Failure::new(ErrorCode::Unavailable, "the search index cannot be used now; try again shortly")
}

pub(super) fn source(document: &Document) -> Source {
    let Document { id, name, format, original, .. } = document.clone();
    Source { id, name, format, original }
}

/// As the index takes it.
pub(super) fn indexable(id: DocumentId, prepared: Prepared) -> NewDocument {
    NewDocument { id, passages: prepared.passages }
}
