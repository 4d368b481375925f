//! The worker's work without its queues: search and ingest, both blocking.

use crate::{
    Config, Dirs,
    documents::Documents,
    embed::{self, EmbedError, Embedder},
    fuse,
    index::{self, Found, IndexError, Limits, NewDocument, Query, SearchIndex, Vectors},
    ingest,
};
use metrics::{counter, gauge, histogram};
use protocol::{
    DocumentFormat, DocumentId, DocumentInfo, DocumentReport, ErrorCode, Event, Failure, FaqMatch, KnowledgeJob,
    KnowledgeVersion, Passage, RetrievalJob, Retrieved, TenantId, Timestamp,
};
use runtime::{Clock, config::Problem, metric};
use std::sync::Arc;

/// Passages of each ranking that take part in the fusion, at least.
const CANDIDATES: usize = 50;
/// Passages of one answer at most.
const MAX_TOP_K: usize = 100;
/// Characters of a question that are looked at.
const MAX_QUERY_CHARS: usize = 2_000;

/// How to rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By words (BM25).
    Bm25,
    /// By meaning (cosine).
    Vectors,
    /// By both, fused: what a customer gets.
    Hybrid,
}

/// Finds what tenants know.
pub struct Retrieval {
    pub(crate) config: Config,
    embedder: Arc<dyn Embedder>,
    index: Box<dyn SearchIndex>,
    documents: Documents,
    clock: Arc<dyn Clock>,
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
    /// Loads and tries the embedder and opens the index; whatever is wrong with either fails here.
    pub fn open(config: &Config, dirs: &Dirs, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(problem.into());
        }
        let embedder = embed::connect(&config.embedder, &dirs.models, config.threads)?;
        let vectors = Vectors { embedder: embedder.id().into(), dimensions: embedder.dimensions() };
        let limits = Limits { open_tenants: config.open_tenants, tenant_passages: config.max_tenant_passages };
        let index = index::connect(&config.index, None, &dirs.data, vectors, limits)?;
        let documents = Documents::new(dirs.data.join("documents"));
        Ok(Self { config: config.clone(), embedder, index, documents, clock })
    }

    /// What the tenant knows about the job's question.
    pub fn search(&self, tenant: &TenantId, job: &RetrievalJob) -> Result<Retrieved, Failure> {
        let top = usize::from(job.top_k).min(MAX_TOP_K);
        let found = self.find(tenant, &job.query, top)?;
        let faq = self.faq(tenant, &found)?;
        Ok(Retrieved { passages: rank(found, Mode::Hybrid, top), faq, ..Retrieved::default() })
    }

    /// The `top` passages about `query`, ranked in one of three ways.
    pub fn ranked(&self, tenant: &TenantId, query: &str, mode: Mode, top: usize) -> Result<Vec<Passage>, Failure> {
        Ok(rank(self.find(tenant, query, top)?, mode, top))
    }

    fn find(&self, tenant: &TenantId, query: &str, top: usize) -> Result<Found, Failure> {
        let end = query.char_indices().nth(MAX_QUERY_CHARS).map_or(query.len(), |(at, _)| at);
        let text = query[..end].trim();
        if text.is_empty() {
            return Err(Failure::invalid("query", "the question is empty"));
        }
        let vectors = self.timed("embed", || self.embedder.embed_queries(&[text])).map_err(ingest::failed)?;
        let vector = vectors.first().map(Vec::as_slice).unwrap_or_default();
        let query = Query { text, vector, candidates: top.max(CANDIDATES) };
        let search = || self.index.search(tenant, self.index.holds(tenant)?, query);
        self.timed("search", search).map_err(|error| indexing(tenant, error))
    }

    /// The closest curated answer.
    fn faq(&self, tenant: &TenantId, found: &Found) -> Result<Option<FaqMatch>, Failure> {
        let listed = self.list(tenant)?;
        let curated = |passage: &&Passage| {
            listed.iter().any(|info| info.id == passage.document && info.format == DocumentFormat::FaqCsv)
        };
        Ok(found.by_vector.iter().find(curated).map(|passage| {
            let Passage { document, chunk, title, text, score } = passage.clone();
            FaqMatch { document, chunk, question: title, answer: text, score, confidence: 0.0 }
        }))
    }

    /// Does a job on the tenant's documents, however long it takes.
    pub fn apply(&self, tenant: &TenantId, job: KnowledgeJob) -> Result<Event, Failure> {
        self.apply_before(tenant, Timestamp(u64::MAX), job)
    }

    /// Does a job on the tenant's documents; one that is not done at `deadline` changes nothing.
    pub(crate) fn apply_before(
        &self,
        tenant: &TenantId,
        deadline: Timestamp,
        job: KnowledgeJob,
    ) -> Result<Event, Failure> {
        match job {
            KnowledgeJob::Put { name, format, content } => {
                let report = self.put(tenant, deadline, &name, format, &content);
                let result = if report.is_ok() { "ok" } else { "failed" };
                counter!(metric::INGESTED, "result" => result).increment(1);
                report.map(Event::Ingested)
            }
            KnowledgeJob::Delete { document } => {
                let was_there = self.list(tenant)?.iter().any(|info| info.id == document);
                if was_there {
                    self.publish(tenant, &document, None)?;
                }
                let missing = || Failure::new(ErrorCode::DocumentNotFound, format!("no document {document}"));
                was_there.then_some(Event::Deleted).ok_or_else(missing)
            }
            KnowledgeJob::List => Ok(Event::Documents { documents: self.list(tenant)? }),
            _ => Err(Failure::new(ErrorCode::Unavailable, "this worker is older than the job and cannot do it")),
        }
    }

    fn put(
        &self,
        tenant: &TenantId,
        deadline: Timestamp,
        name: &str,
        format: DocumentFormat,
        content: &str,
    ) -> Result<DocumentReport, Failure> {
        let mut draft = ingest::read(&self.config, &*self.embedder, name, format, content)?;
        let warnings = std::mem::take(&mut draft.warnings);
        let info = draft.info.clone();
        let document = draft.embed(&*self.embedder, self.config.batch, || self.check(deadline))?;
        let replaced = self.list(tenant)?.iter().any(|known| known.id == info.id);
        self.publish(tenant, &info.id, Some((info.clone(), document)))?;
        Ok(DocumentReport { document: info, replaced, warnings })
    }

    /// Makes the next version: without `id`, or with another document in its place.
    fn publish(
        &self,
        tenant: &TenantId,
        id: &DocumentId,
        new: Option<(DocumentInfo, NewDocument)>,
    ) -> Result<(), Failure> {
        let (info, document) = new.unzip();
        let index = || {
            let base = self.index.holds(tenant)?;
            let version = KnowledgeVersion(base.0 + 1);
            self.index.undo(tenant, base)?;
            self.index.remove(tenant, version, std::slice::from_ref(id))?;
            self.index.add(tenant, version, document.into_iter().collect())?;
            self.index.seal(tenant, version)?;
            self.index.prune(tenant, version)
        };
        index().map_err(|error| indexing(tenant, error))?;
        self.documents.set(tenant, id, info).map_err(listing)?;
        self.count_passages(tenant)
    }

    fn check(&self, deadline: Timestamp) -> Result<(), Failure> {
        let late = || Failure::new(ErrorCode::DeadlineExceeded, "the document was not embedded in time; split it");
        if deadline.ms_from(self.clock.now()) == 0 { Err(late()) } else { Ok(()) }
    }

    /// The tenant's documents by id.
    pub fn list(&self, tenant: &TenantId) -> Result<Vec<DocumentInfo>, Failure> {
        self.documents.list(tenant).map_err(listing)
    }

    fn count_passages(&self, tenant: &TenantId) -> Result<(), Failure> {
        let passages: u32 = self.list(tenant)?.iter().map(|document| document.passages).sum();
        gauge!(metric::PASSAGES, "tenant" => tenant.to_string()).set(passages);
        Ok(())
    }

    fn timed<T>(&self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let started = self.clock.now();
        let result = tracing::info_span!("stage", stage).in_scope(work);
        let seconds = self.clock.now().ms_from(started) as f64 / 1000.0;
        histogram!(metric::RETRIEVAL_DURATION, "stage" => stage).record(seconds);
        result
    }
}

fn rank(found: Found, mode: Mode, top: usize) -> Vec<Passage> {
    let mut passages = match mode {
        Mode::Bm25 => found.by_text,
        Mode::Vectors => found.by_vector,
        Mode::Hybrid => fuse::blend(found, fuse::Blend::default()),
    };
    passages.truncate(top);
    passages
}

fn indexing(tenant: &TenantId, error: IndexError) -> Failure {
    if let IndexError::TooMany(..) = error {
        return Failure::new(ErrorCode::PayloadTooLarge, error.to_string());
    }
    tracing::error!(%tenant, %error, "the search index failed");
    Failure::new(ErrorCode::Unavailable, "the search index cannot be used now")
}

fn listing(error: std::io::Error) -> Failure {
    tracing::error!(%error, "the list of documents cannot be used");
    Failure::new(ErrorCode::Unavailable, "the list of documents cannot be used now")
}
