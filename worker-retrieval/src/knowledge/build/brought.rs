//! Bringing documents into the index.

use super::{Draft, indexable, source};
use crate::{
    index::NewDocument,
    knowledge::{Knowledge, prepare::Source, prepared::Prepared},
    space::Space,
};
use catalog::{Build, Document, FaqEntry};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use protocol::{DocumentFormat, DocumentId, Failure, KnowledgeVersion, TenantId, Timestamp};
use std::{pin::Pin, sync::Arc};

/// Documents that are fetched at once, and passages that go into the index in one call.
const FETCHED: usize = 8;
const BATCH: usize = 256;

impl Knowledge {
    /// The index holds the draft's version when this returns; returns the curated answers that come with it.
    pub(super) async fn bring(
        self: &Arc<Self>,
        space: &Arc<Space>,
        tenant: &TenantId,
        deadline: Timestamp,
        build: &Build,
        draft: &Draft,
    ) -> Result<Vec<FaqEntry>, Failure> {
        let Build { version, base } = *build;
        if draft.is_fresh {
            self.indexing(space, tenant, |index, tenant| index.clear(tenant)).await?;
        } else {
            self.sync(space, tenant, base, deadline).await?;
            let removed = draft.removed.clone();
            self.indexing(space, tenant, move |index, tenant| {
                index.undo(tenant, base)?;
                index.remove(tenant, version, &removed)
            })
            .await?;
        }
        self.index_all(space, tenant, version, &draft.put, deadline).await
    }

    /// Adds documents with `version` and seals it; returns their curated answers.
    pub(in crate::knowledge) async fn index_all(
        self: &Arc<Self>,
        space: &Arc<Space>,
        tenant: &TenantId,
        version: KnowledgeVersion,
        documents: &[Document],
        deadline: Timestamp,
    ) -> Result<Vec<FaqEntry>, Failure> {
        let mut faq = Vec::new();
        let mut fetched = self.fetched(space, tenant, documents, deadline);
        while let Some((batch, entries)) = next_batch(&mut fetched).await? {
            faq.extend(entries);
            self.indexing(space, tenant, move |index, tenant| index.add(tenant, version, batch)).await?;
        }
        self.indexing(space, tenant, move |index, tenant| index.seal(tenant, version)).await?;
        Ok(faq)
    }

    fn fetched(
        self: &Arc<Self>,
        space: &Arc<Space>,
        tenant: &TenantId,
        documents: &[Document],
        deadline: Timestamp,
    ) -> Fetched {
        let (knowledge, space, tenant) = (self.clone(), space.clone(), tenant.clone());
        let sources: Vec<Source> = documents.iter().map(source).collect();
        let fetched = stream::iter(sources).map(move |source| {
            let (knowledge, space, tenant) = (knowledge.clone(), space.clone(), tenant.clone());
            async move {
                let prepared = knowledge.prepared(&space, &tenant, &source, deadline).await?;
                Ok((source, prepared))
            }
        });
        Box::pin(fetched.buffered(FETCHED))
    }
}

type Fetched = Pin<Box<dyn Stream<Item = Result<(Source, Prepared), Failure>> + Send>>;

/// Some documents as the index takes them in one call, and their curated answers.
async fn next_batch(fetched: &mut Fetched) -> Result<Option<(Vec<NewDocument>, Vec<FaqEntry>)>, Failure> {
    let (mut batch, mut entries, mut passages) = (Vec::new(), Vec::new(), 0);
    while let Some((source, prepared)) = fetched.try_next().await? {
        passages += prepared.passages.len();
        if matches!(source.format, DocumentFormat::FaqCsv | DocumentFormat::FaqJsonl) {
            entries.extend(curated(&source.id, &prepared));
        }
        batch.push(indexable(source.id, prepared));
        if passages >= BATCH {
            break;
        }
    }
    Ok((!batch.is_empty()).then_some((batch, entries)))
}

fn curated(document: &DocumentId, prepared: &Prepared) -> Vec<FaqEntry> {
    let entries = (0..).zip(&prepared.passages).map(|(position, passage)| FaqEntry {
        document: document.clone(),
        position,
        question: passage.title.clone(),
        variants: prepared.variants.get(position as usize).cloned().unwrap_or_default(),
        answer: passage.text.clone(),
        vectors: passage.question.clone(),
    });
    entries.collect()
}
