//! One document: staged in an ingest, or published by itself.

use super::{Knowledge, build::Plan, catalogued, prepare::Source};
use crate::ingest;
use catalog::{Document, Staged};
use metrics::counter;
use protocol::{
    DocumentFormat, DocumentId, DocumentInfo, DocumentOutcome, DocumentReport, ErrorCode, Event, Failure, IngestCounts,
    IngestId, IngestReport, Original, Outcome, TenantId, Timestamp,
};
use runtime::metric;
use std::sync::Arc;

/// A document to be added.
pub(super) struct Addition {
    pub name: String,
    pub format: DocumentFormat,
    pub original: Original,
    pub ingest: Option<IngestId>,
}

impl Knowledge {
    pub(super) async fn add(
        self: &Arc<Self>,
        tenant: &TenantId,
        deadline: Timestamp,
        Addition { name, format, original, ingest }: Addition,
    ) -> Result<Event, Failure> {
        ingest::check_name(&name)?;
        let source = Source { id: ingest::document_id(&name)?, name, format, original };
        let before = self.served_document(tenant, &source.id).await?;
        let staged = self.read(tenant, &source, before.as_ref(), deadline).await;
        counter!(metric::INGESTED, "result" => if staged.is_ok() { "ok" } else { "failed" }).increment(1);
        match ingest {
            None => self.publish_alone(tenant, deadline, staged?, before).await,
            Some(ingest) => self.stage(tenant, &ingest, &source, staged, before).await,
        }
    }

    pub(super) async fn delete(
        self: &Arc<Self>,
        tenant: &TenantId,
        deadline: Timestamp,
        document: DocumentId,
    ) -> Result<Event, Failure> {
        let missing = || Failure::new(ErrorCode::DocumentNotFound, format!("no document {document}"));
        self.served_document(tenant, &document).await?.ok_or_else(missing)?;
        self.publish(tenant, deadline, Plan { removed: vec![document], ..Plan::default() }).await?;
        Ok(Event::Deleted)
    }

    pub(super) async fn list(&self, tenant: &TenantId) -> Result<Event, Failure> {
        let version = self.stores.catalog.served(tenant).await.map_err(catalogued)?;
        let documents = self.stores.catalog.documents(tenant, version).await.map_err(catalogued)?;
        Ok(Event::Documents { documents: documents.into_iter().map(info).collect() })
    }

    async fn served_document(&self, tenant: &TenantId, id: &DocumentId) -> Result<Option<Document>, Failure> {
        let version = self.stores.catalog.served(tenant).await.map_err(catalogued)?;
        self.stores.catalog.document(tenant, version, id).await.map_err(catalogued)
    }

    /// Prepares the document, unless it is served as it is.
    async fn read(
        &self,
        tenant: &TenantId,
        source: &Source,
        before: Option<&Document>,
        deadline: Timestamp,
    ) -> Result<Staged, Failure> {
        let Source { id, name, format, original } = source.clone();
        let space = self.spaces.current();
        let recipe = source.recipe(space);
        let staged = |title: String, passages: u32, warnings| Staged {
            name,
            id,
            format,
            original,
            title,
            passages,
            recipe: recipe.clone(),
            warnings,
            failure: None,
            outcome: Outcome::Added,
        };
        if let Some(before) = before.filter(|before| is_same(before, &source.original, source.format, &recipe)) {
            return Ok(staged(before.title.clone(), before.passages, Vec::new()));
        }
        let prepared = self.prepared(space, tenant, source, deadline).await?;
        let passages = u32::try_from(prepared.passages.len()).unwrap_or(u32::MAX);
        Ok(staged(prepared.title, passages, prepared.warnings))
    }

    async fn publish_alone(
        self: &Arc<Self>,
        tenant: &TenantId,
        deadline: Timestamp,
        staged: Staged,
        before: Option<Document>,
    ) -> Result<Event, Failure> {
        let (warnings, document) = (staged.warnings.clone(), staged.document(Default::default()));
        self.publish(tenant, deadline, Plan { put: vec![staged], ..Plan::default() }).await?;
        Ok(Event::Ingested(DocumentReport { document: info(document), replaced: before.is_some(), warnings }))
    }

    /// A document that cannot be read is staged as such; what a repeat may mend fails the job.
    async fn stage(
        &self,
        tenant: &TenantId,
        ingest: &IngestId,
        source: &Source,
        staged: Result<Staged, Failure>,
        before: Option<Document>,
    ) -> Result<Event, Failure> {
        let mut staged = staged.or_else(|failure| match failure.code.is_retryable() {
            true => Err(failure),
            false => Ok(unreadable(source, failure)),
        })?;
        staged.outcome = outcome(&staged, before.as_ref());
        self.stores.catalog.stage(tenant, ingest, &staged).await.map_err(catalogued)?;
        let known = self.stores.catalog.ingest(tenant, ingest).await.map_err(catalogued)?;
        let outcome = told(staged);
        let mut counts = IngestCounts::default();
        count(&mut counts, outcome.outcome);
        Ok(Event::Ingest(IngestReport {
            ingest: known.id,
            state: known.state,
            version: known.version,
            counts,
            documents: vec![outcome],
            next: None,
            begun: known.begun,
        }))
    }
}

/// Whether a document is served already as it would be.
pub(super) fn is_same(before: &Document, original: &Original, format: DocumentFormat, recipe: &str) -> bool {
    before.original == *original && before.format == format && before.recipe == recipe
}

fn unreadable(source: &Source, failure: Failure) -> Staged {
    let Source { id, name, format, original } = source.clone();
    let (title, recipe, warnings) = (String::new(), String::new(), Vec::new());
    Staged {
        name,
        id,
        format,
        original,
        title,
        passages: 0,
        recipe,
        warnings,
        failure: Some(failure),
        outcome: Outcome::Failed,
    }
}

pub(super) fn info(document: Document) -> DocumentInfo {
    let Document { id, name, title, format, original, passages, .. } = document;
    DocumentInfo { id, name, title, format, passages, bytes: original.bytes }
}

/// In comparison with what is served.
fn outcome(staged: &Staged, before: Option<&Document>) -> Outcome {
    let is_same = |before: &Document| is_same(before, &staged.original, staged.format, &staged.recipe);
    match before {
        _ if staged.failure.is_some() => Outcome::Failed,
        None => Outcome::Added,
        Some(before) if is_same(before) => Outcome::Unchanged,
        Some(_) => Outcome::Replaced,
    }
}

/// What a client is told of a staged document.
pub(super) fn told(staged: Staged) -> DocumentOutcome {
    let Staged { name, id, original, passages, warnings, failure, outcome, .. } = staged;
    DocumentOutcome { name, document: id, outcome, passages, bytes: original.bytes, warnings, failure }
}

fn count(counts: &mut IngestCounts, outcome: Outcome) {
    let field = match outcome {
        Outcome::Added => &mut counts.added,
        Outcome::Replaced => &mut counts.replaced,
        Outcome::Unchanged => &mut counts.unchanged,
        Outcome::Failed => &mut counts.failed,
    };
    *field += 1;
}
