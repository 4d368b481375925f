//! Keeping tenants' knowledge: documents are staged, published as versions, and brought into the index.
//!
//! ```text
//! Add ──▶ prepare (read, cut, embed; kept in the archive) ──▶ stage ──▶ Publish ──▶ build (lock, index, seal) ──▶ served
//! ```
//!
//! Everything that a version is made of lies in the catalogue and the archive; [`sync`] brings any index to any version.

mod add;
mod adopt;
mod build;
mod collect;
mod news;
mod prepare;
mod prepared;
mod served;
mod sync;
mod unanswered;
mod versions;

pub(crate) use build::indexed;
pub(crate) use prepared::Prepared;
pub(crate) use served::{Served, State};
pub(crate) use unanswered::Asked;

use crate::{Config, read::Sandbox, space::Spaces};
use catalog::{Archive, ArchiveError, Catalog, CatalogError};
use protocol::{ErrorCode, Event, Failure, KnowledgeJob, TenantId, Timestamp};
use runtime::{Broker, Clock};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Where knowledge is kept.
#[derive(Clone)]
pub struct Stores {
    /// What is known of it.
    pub catalog: Arc<dyn Catalog>,
    /// Originals and what was prepared from them.
    pub archive: Arc<dyn Archive>,
    /// Where it is told that another version is served; `None`: nobody is told.
    pub news: Option<Arc<dyn Broker>>,
}

/// All tenants' knowledge.
pub(crate) struct Knowledge {
    pub config: Config,
    pub spaces: Spaces,
    pub served: Served,
    stores: Stores,
    reader: Sandbox,
    clock: Arc<dyn Clock>,
    syncs: sync::Syncs,
    asked: mpsc::Sender<Asked>,
}

impl Knowledge {
    /// Must be called within a tokio runtime.
    pub fn new(config: Config, spaces: Spaces, stores: Stores, reader: Sandbox, clock: Arc<dyn Clock>) -> Self {
        let served = Served::new(stores.catalog.clone(), clock.clone(), config.open_tenants);
        let asked = unanswered::keeper(stores.catalog.clone(), config.unanswered_questions);
        Self { config, spaces, served, stores, reader, clock, syncs: sync::Syncs::default(), asked }
    }

    /// Does a job on the tenant's documents; one that is not done at `deadline` changes nothing that is served.
    pub async fn apply(
        self: &Arc<Self>,
        tenant: &TenantId,
        deadline: Timestamp,
        job: KnowledgeJob,
    ) -> Result<Event, Failure> {
        match job {
            KnowledgeJob::Put { name, format, content } => {
                let original = catalog::keep(&*self.stores.archive, tenant, content.into()).await.map_err(archived)?;
                self.add(tenant, deadline, add::Addition { name, format, original, ingest: None }).await
            }
            KnowledgeJob::Add { name, format, original, ingest } => {
                self.add(tenant, deadline, add::Addition { name, format, original, ingest }).await
            }
            KnowledgeJob::Delete { document } => self.delete(tenant, deadline, document).await,
            KnowledgeJob::List => self.list(tenant).await,
            KnowledgeJob::Begin { ingest } => self.begin(tenant, &ingest).await,
            KnowledgeJob::Publish { ingest, remove_others } => {
                self.publish_ingest(tenant, deadline, &ingest, remove_others).await
            }
            KnowledgeJob::Abort { ingest } => self.abort(tenant, &ingest).await,
            KnowledgeJob::Progress { ingest, after } => {
                Ok(Event::Ingest(self.report(tenant, &ingest, after.as_deref()).await?))
            }
            KnowledgeJob::Versions => self.versions(tenant).await,
            KnowledgeJob::Rollback { to } => self.rollback(tenant, to).await,
            KnowledgeJob::Rebuild => self.rebuild(tenant, deadline).await,
            KnowledgeJob::Unanswered => self.unanswered(tenant).await,
            KnowledgeJob::Dismiss { until } => self.dismiss(tenant, until).await,
        }
    }
}

/// What a client is told of a catalogue that did not do it.
fn catalogued(error: CatalogError) -> Failure {
    match error {
        CatalogError::Conflict => Failure::new(
            ErrorCode::Conflict,
            "the tenant's knowledge is being changed by another request; try again shortly",
        ),
        CatalogError::Missing(what) => Failure::new(ErrorCode::NotFound, format!("there is no such {what}")),
        CatalogError::Unavailable(_) | CatalogError::Unusable(_) => {
            tracing::error!(%error, "the catalogue failed");
            Failure::new(ErrorCode::Unavailable, "the catalogue of documents cannot be used now; try again shortly")
        }
    }
}

/// What a client is told of an archive that did not do it.
fn archived(error: ArchiveError) -> Failure {
    match error {
        ArchiveError::Missing(_) => {
            Failure::new(ErrorCode::Conflict, "the document's original is not in the archive; send the document again")
        }
        ArchiveError::Unavailable(_) | ArchiveError::Damaged(_) => {
            tracing::error!(%error, "the archive failed");
            Failure::new(ErrorCode::Unavailable, "the archive of documents cannot be used now; try again shortly")
        }
    }
}

/// Runs what blocks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let span = tracing::Span::current();
    let ended = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    ended.unwrap_or_else(|_| Err(Failure::new(ErrorCode::Internal, "the work ended by a defect; see the worker's log")))
}
