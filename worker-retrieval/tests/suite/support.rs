//! A retrieval worker's parts on the embedder that needs no model, with a catalogue and an archive in a folder.

use protocol::{
    DocumentFormat, DocumentReport, Event, Failure, IngestId, KnowledgeJob, Lang, RetrievalJob, Retrieved, TenantId,
    VersionInfo,
};
use runtime::clock::ManualClock;
use std::{path::Path, sync::Arc, time::Duration};
use worker_retrieval::{Config, Dirs, Retrieval, Stores, read::Sandbox};

pub fn tenant() -> TenantId {
    TenantId::parse("t").unwrap()
}

/// Where `data` says what is known.
pub async fn stores(data: &Path) -> Stores {
    let catalog = catalog::connect("sqlite:", data).await.unwrap();
    let archive = catalog::connect_archive("file:", data).unwrap();
    Stores { catalog, archive, news: None }
}

/// A retrieval whose index lies in `data`.
pub fn retrieval(stores: Stores, data: &Path, clock: ManualClock) -> Retrieval {
    let config = Config { embedder: "hashing:".into(), ..Config::default() };
    let dirs = Dirs { data: data.into(), models: data.into(), reader: Sandbox::InProcess };
    Retrieval::open(&config, &dirs, stores, Arc::new(clock)).unwrap()
}

/// One worker's view of a tenant's knowledge.
pub struct Shelf {
    pub clock: ManualClock,
    stores: Stores,
    retrieval: Retrieval,
    _data: tempfile::TempDir,
}

impl Shelf {
    pub async fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (stores, clock) = (stores(data.path()).await, ManualClock::at(1_000_000));
        let retrieval = retrieval(stores.clone(), data.path(), clock.clone());
        Self { clock, stores, retrieval, _data: data }
    }

    /// Another worker, with an index of its own that is empty.
    pub async fn another(&self) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (stores, clock) = (self.stores.clone(), self.clock.clone());
        let retrieval = retrieval(stores.clone(), data.path(), clock.clone());
        Self { clock, stores, retrieval, _data: data }
    }

    pub async fn apply(&self, job: KnowledgeJob) -> Result<Event, Failure> {
        self.retrieval.apply(&tenant(), self.deadline(60_000), job).await
    }

    fn deadline(&self, ms: u64) -> protocol::Timestamp {
        use runtime::Clock;
        self.clock.now().after_ms(ms)
    }

    /// The job that adds a document, whose original it puts into the archive.
    pub async fn addition(
        &self,
        name: &str,
        format: DocumentFormat,
        bytes: &[u8],
        ingest: Option<IngestId>,
    ) -> KnowledgeJob {
        let original = catalog::keep(&*self.stores.archive, &tenant(), bytes.to_vec().into()).await.unwrap();
        KnowledgeJob::Add { name: name.into(), format, original, ingest }
    }

    pub async fn try_put(&self, name: &str, text: String) -> Result<DocumentReport, Failure> {
        let format = if name.ends_with(".csv") { DocumentFormat::FaqCsv } else { DocumentFormat::Markdown };
        match self.apply(self.addition(name, format, text.as_bytes(), None).await).await? {
            Event::Ingested(report) => Ok(report),
            other => panic!("{other:?}"),
        }
    }

    pub async fn put(&self, name: &str, text: &str) -> DocumentReport {
        self.try_put(name, text.into()).await.unwrap()
    }

    /// As [`Self::try_put`], while time passes, until `ms` have.
    pub async fn try_put_within(&self, name: &str, text: String, ms: u64) -> Result<Event, Failure> {
        let job = self.addition(name, DocumentFormat::Markdown, text.as_bytes(), None).await;
        let (deadline, clock) = (self.deadline(ms), self.clock.clone());
        let passing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                clock.advance(50);
            }
        });
        let done = self.retrieval.apply(&tenant(), deadline, job).await;
        passing.abort();
        done
    }

    /// A worker begins a build and dies.
    pub async fn abandon_a_build(&self) {
        use runtime::Clock;
        self.stores.catalog.begin_build(&tenant(), self.clock.now(), Duration::from_secs(30)).await.unwrap();
    }

    pub async fn search(&self, query: &str) -> Retrieved {
        // What is served is looked up again after a second.
        self.clock.advance(1_001);
        self.retrieval.search(&tenant(), &RetrievalJob::new(query, Lang::en(), 5)).await.unwrap()
    }

    pub async fn texts(&self, query: &str) -> Vec<String> {
        self.search(query).await.passages.into_iter().map(|passage| passage.text).collect()
    }

    pub async fn names(&self) -> Vec<String> {
        let Event::Documents { documents } = self.apply(KnowledgeJob::List).await.unwrap() else { panic!("no list") };
        let mut names: Vec<_> = documents.into_iter().map(|document| document.name).collect();
        names.sort();
        names
    }

    pub async fn versions(&self) -> Vec<VersionInfo> {
        self.stores.catalog.versions(&tenant()).await.unwrap()
    }

    pub async fn originals(&self) -> usize {
        self.stores.archive.originals(&tenant()).await.unwrap().len()
    }

    pub async fn until(&self, is_so: impl AsyncFn() -> bool) {
        for _ in 0..500 {
            if is_so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not come to this");
    }
}
