//! Changes: tasks that the server does one after another, and the marker that makes them a version.

use super::{
    filter::{NEVER, TenantFilter},
    rows::{Id, Marker, Removal, Row},
    space::Space,
};
use crate::index::{IndexError, NewDocument};
use meilisearch_sdk::{
    documents::{DocumentDeletionQuery, DocumentsQuery},
    errors::{Error, ErrorCode},
};
use protocol::{DocumentId, KnowledgeVersion, TenantId};
use std::collections::{HashSet, VecDeque};

/// Rows of one request.
const BATCH: usize = 256;
/// Tasks that are waited for only later.
const AHEAD: usize = 8;
/// Documents that one filter names.
const NAMES: usize = 500;

/// A version that is being built.
pub struct Build {
    tenant: TenantId,
    version: KnowledgeVersion,
    oldest: u64,
    /// Passages it will have.
    living: usize,
    /// Documents it has brought.
    added: HashSet<DocumentId>,
    /// What the server has not yet done.
    tasks: VecDeque<u32>,
    failed: bool,
}

impl Build {
    /// Opens `version` for changes.
    pub async fn begin(space: &Space, tenant: &TenantId, version: KnowledgeVersion) -> Result<Self, IndexError> {
        let marker = marker(space, tenant).await?;
        if version.0 <= marker.holds {
            return Err(IndexError::Closed { version, other: KnowledgeVersion(marker.holds) });
        }
        let living = count(space, &TenantFilter::from(tenant).living_before(version)).await?;
        let (oldest, tenant, tasks) = (marker.oldest, tenant.clone(), VecDeque::new());
        Ok(Self { tenant, version, oldest, living, added: HashSet::new(), tasks, failed: false })
    }

    /// Whether it is `version`, and may still be changed.
    pub fn admits(&self, version: KnowledgeVersion) -> Result<(), IndexError> {
        let closed = IndexError::Closed { version, other: self.version };
        if self.version == version && !self.failed { Ok(()) } else { Err(closed) }
    }

    /// From now on it can only be undone.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Brings documents in.
    pub async fn add(
        &mut self,
        space: &Space,
        documents: &[NewDocument],
        most: usize,
        dimensions: usize,
    ) -> Result<(), IndexError> {
        let passages = documents.iter().flat_map(|document| &document.passages);
        let mut vectors = passages.flat_map(|passage| std::iter::once(&passage.vector).chain(&passage.question));
        if !vectors.all(|vector| vector.len() == dimensions && vector.iter().all(|x| x.is_finite())) {
            let reason = format!("a vector has not {dimensions} numbers");
            return Err(IndexError::Broken { place: space.place.clone(), reason });
        }
        self.replace(space, documents).await?;
        let total = self.living + documents.iter().map(|document| document.passages.len()).sum::<usize>();
        if total > most {
            return Err(IndexError::TooMany(total, most));
        }
        let (tenant, version) = (self.tenant.clone(), self.version);
        let rows: Vec<Row<'_>> = documents
            .iter()
            .flat_map(|document| {
                document.passages.iter().zip(0..).map(move |(passage, chunk)| (document, chunk, passage))
            })
            .map(|(document, chunk, passage)| Row::new(&tenant, &document.id, chunk, version, passage))
            .collect();
        for batch in rows.chunks(BATCH) {
            self.accepted(space, space.index.add_or_replace(batch, Some("id")).await).await?;
        }
        self.living = total;
        self.added.extend(documents.iter().map(|document| document.id.clone()));
        Ok(())
    }

    /// Drops what this version has brought of the same documents.
    async fn replace(&mut self, space: &Space, documents: &[NewDocument]) -> Result<(), IndexError> {
        let again: Vec<_> =
            documents.iter().map(|document| &document.id).filter(|id| self.added.contains(id)).collect();
        for names in again.chunks(NAMES) {
            let filter = TenantFilter::from(&self.tenant).added_by(self.version).of(names.iter().copied());
            self.settle(space).await?;
            self.living = self.living.saturating_sub(count(space, &filter).await?);
            self.accepted(space, delete(space, &filter).await).await?;
        }
        Ok(())
    }

    /// Takes documents of earlier versions out.
    pub async fn remove(&mut self, space: &Space, documents: &[DocumentId]) -> Result<(), IndexError> {
        for names in documents.chunks(NAMES) {
            let filter = TenantFilter::from(&self.tenant).living_before(self.version).of(names);
            let ids = ids(space, &filter).await?;
            self.living = self.living.saturating_sub(ids.len());
            for removals in removals(ids, self.version.0).chunks(BATCH) {
                self.accepted(space, space.index.add_or_update(removals, Some("id")).await).await?;
            }
        }
        Ok(())
    }

    /// Says that the version is whole, once it is.
    pub async fn seal(&mut self, space: &Space) -> Result<(), IndexError> {
        self.settle(space).await?;
        mark(space, &self.tenant, Marker { holds: self.version.0, oldest: self.oldest }).await
    }

    /// Remembers a task, and waits for the first one when there are many.
    async fn accepted(
        &mut self,
        space: &Space,
        task: Result<meilisearch_sdk::task_info::TaskInfo, Error>,
    ) -> Result<(), IndexError> {
        self.tasks.push_back(task.map_err(|error| space.failed(error))?.task_uid);
        let first = if self.tasks.len() > AHEAD { self.tasks.pop_front() } else { None };
        match first {
            Some(first) => space.wait(first).await,
            None => Ok(()),
        }
    }

    async fn settle(&mut self, space: &Space) -> Result<(), IndexError> {
        while let Some(task) = self.tasks.pop_front() {
            space.wait(task).await?;
        }
        Ok(())
    }
}

/// What is whole of the tenant.
pub async fn marker(space: &Space, tenant: &TenantId) -> Result<Marker, IndexError> {
    match space.index.get_document(&Marker::id(tenant)).await {
        Err(Error::Meilisearch(error)) if error.error_code == ErrorCode::DocumentNotFound => Ok(Marker::default()),
        found => found.map_err(|error| space.failed(error)),
    }
}

async fn mark(space: &Space, tenant: &TenantId, marker: Marker) -> Result<(), IndexError> {
    space.done(space.index.add_or_replace(&[marker.row(tenant)], Some("id")).await).await
}

/// See [`crate::index::SearchIndex::undo`].
pub async fn undo(space: &Space, tenant: &TenantId, base: KnowledgeVersion) -> Result<(), IndexError> {
    let before = marker(space, tenant).await?;
    if base.0 == 0 || base.0 < before.oldest {
        return clear(space, tenant).await;
    }
    if before.holds > base.0 {
        mark(space, tenant, Marker { holds: base.0, oldest: before.oldest }).await?;
    }
    let filter = TenantFilter::from(tenant);
    // Done after all that an earlier build has asked for, even if that was never waited for.
    space.done(delete(space, &filter.added_after(base)).await).await?;
    let back = removals(ids(space, &filter.removed_after(base)).await?, NEVER);
    for rows in back.chunks(BATCH) {
        space.done(space.index.add_or_update(rows, Some("id")).await).await?;
    }
    Ok(())
}

/// See [`crate::index::SearchIndex::prune`].
pub async fn prune(space: &Space, tenant: &TenantId, oldest: KnowledgeVersion) -> Result<(), IndexError> {
    let before = marker(space, tenant).await?;
    let after = Marker { oldest: oldest.0.min(before.holds), ..before };
    if after.oldest <= before.oldest {
        return Ok(());
    }
    mark(space, tenant, after).await?;
    let unseen = TenantFilter::from(tenant).unseen_from(KnowledgeVersion(after.oldest));
    space.done(delete(space, &unseen).await).await
}

/// Drops all of the tenant, the marker too.
pub async fn clear(space: &Space, tenant: &TenantId) -> Result<(), IndexError> {
    space.done(delete(space, &TenantFilter::from(tenant)).await).await
}

async fn delete(space: &Space, filter: &TenantFilter) -> Result<meilisearch_sdk::task_info::TaskInfo, Error> {
    let mut rows = DocumentDeletionQuery::new(&space.index);
    rows.with_filter(filter.as_str());
    space.index.delete_documents_with(&rows).await
}

fn removals(ids: Vec<String>, removed: u64) -> Vec<Removal> {
    ids.into_iter().map(|id| Removal { id, removed }).collect()
}

/// Number of rows that `filter` picks.
async fn count(space: &Space, filter: &TenantFilter) -> Result<usize, IndexError> {
    page(space, filter, 0, 1).await.map(|(_, total)| total)
}

/// Ids of the rows that `filter` picks.
async fn ids(space: &Space, filter: &TenantFilter) -> Result<Vec<String>, IndexError> {
    let mut all = Vec::new();
    loop {
        let (rows, total) = page(space, filter, all.len(), 1000).await?;
        let last = rows.is_empty();
        all.extend(rows);
        if last || all.len() >= total {
            return Ok(all);
        }
    }
}

async fn page(
    space: &Space,
    filter: &TenantFilter,
    offset: usize,
    limit: usize,
) -> Result<(Vec<String>, usize), IndexError> {
    let mut query = DocumentsQuery::new(&space.index);
    query.with_filter(filter.as_str()).with_fields(["id"]).with_offset(offset).with_limit(limit);
    let found = space.index.get_documents_with::<Id>(&query).await.map_err(|error| space.failed(error))?;
    Ok((found.results.into_iter().map(|row| row.id).collect(), found.total as usize))
}
