//! Opening a retrieval worker's parts, and the jobs that it does with them.

use crate::{
    Config, Dirs,
    embed::EmbedError,
    index::IndexError,
    knowledge::{Knowledge, Stores},
    space::Spaces,
};
use protocol::{Event, Failure, KnowledgeJob, TenantId, Timestamp};
use runtime::{Clock, config::Problem};
use std::sync::Arc;

/// Finds what tenants know, and keeps it.
pub struct Retrieval {
    pub(crate) knowledge: Arc<Knowledge>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Why retrieval cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A value of the configuration is not acceptable.
    #[error(transparent)]
    Config(#[from] Problem),
    /// The embedder cannot be loaded.
    #[error(transparent)]
    Embedder(#[from] EmbedError),
    /// The index cannot be opened.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Retrieval {
    /// Loads and tries the embedder and opens the index; whatever is wrong with either fails here. Blocks, and must be called
    /// within a tokio runtime.
    pub fn open(config: &Config, dirs: &Dirs, stores: Stores, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(problem.into());
        }
        let spaces = Spaces::open(config, dirs)?;
        let knowledge = Arc::new(Knowledge::new(config.clone(), spaces, stores, dirs.reader.clone(), clock.clone()));
        Ok(Self { knowledge, clock })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.knowledge.config
    }

    /// Whether the index answers now.
    pub fn check(&self) -> Result<(), IndexError> {
        self.knowledge.spaces.current().index.check()
    }

    /// Does a job on the tenant's documents; one that is not done at `deadline` changes nothing that is served.
    pub async fn apply(&self, tenant: &TenantId, deadline: Timestamp, job: KnowledgeJob) -> Result<Event, Failure> {
        self.knowledge.apply(tenant, deadline, job).await
    }
}
