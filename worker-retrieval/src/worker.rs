//! The queues' side: jobs in, answers out.
//!
//! One task takes jobs and decides what starts; each job runs in a task of its own, its heavy part on a blocking thread.
//! At most `concurrency` searches and `ingest_concurrency` ingests run; the broker's prefetch bounds what waits here.

mod job;

use crate::{Retrieval, lanes::Lanes};
use job::Job;
use protocol::{KnowledgeJob, RetrievalJob, TenantId, topology};
use runtime::{BrokerError, Consumer, Context, Delivery};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// Ingest jobs held at once, running ones included; each holds its document.
const INGEST_PREFETCH: u16 = 8;

/// What ended: a search, or a job on knowledge in its lane.
type Done = Option<Lane>;

/// Lanes in which one tenant's documents are read side by side.
const READERS: u64 = 4;

/// Jobs of one lane are done one after another: those on documents of one name, and those that publish.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lane {
    Read(TenantId, u64),
    Publish(TenantId),
}

impl Lane {
    /// `None`: the job only looks, and waits for no other.
    fn of(tenant: &TenantId, job: &KnowledgeJob) -> Option<Self> {
        let tenant = tenant.clone();
        match job {
            KnowledgeJob::Put { name, .. } | KnowledgeJob::Add { name, .. } => {
                let mut hasher = DefaultHasher::new();
                name.hash(&mut hasher);
                Some(Self::Read(tenant, hasher.finish() % READERS))
            }
            KnowledgeJob::Delete { .. }
            | KnowledgeJob::Publish { .. }
            | KnowledgeJob::Rollback { .. }
            | KnowledgeJob::Rebuild => Some(Self::Publish(tenant)),
            KnowledgeJob::List
            | KnowledgeJob::Begin { .. }
            | KnowledgeJob::Abort { .. }
            | KnowledgeJob::Progress { .. }
            | KnowledgeJob::Versions
            | KnowledgeJob::Unanswered
            | KnowledgeJob::Dismiss { .. } => None,
        }
    }
}

impl Retrieval {
    /// Works on `q.retrieval` and `q.ingest` until the context's stop, then lets running jobs finish for `drain_ms`;
    /// jobs that are unfinished then go back to their queue.
    pub async fn run(self: Arc<Self>, context: Context) -> Result<(), BrokerError> {
        let searches = u16::try_from(self.config().concurrency).unwrap_or(u16::MAX);
        let mut retrieval = context.broker.consume(topology::RETRIEVAL, searches).await?;
        let mut ingest = context.broker.consume(topology::INGEST, INGEST_PREFETCH).await?;
        context.health.ready("worker-retrieval");
        let mut crew = Crew {
            lanes: Lanes::new(self.config().ingest_concurrency),
            tasks: JoinSet::new(),
            retrieval: self,
            context: context.clone(),
        };
        let adopting = tokio::spawn(crew.retrieval.knowledge.clone().adopt_embedder());
        let result = crew.work(&mut retrieval, &mut ingest).await;
        adopting.abort();
        context.health.unready("worker-retrieval", "stopping");
        crew.drain().await;
        // Only now do the jobs that are not done go back, and to no consumer of this worker.
        drop((retrieval, ingest, crew));
        result
    }
}

struct Crew {
    retrieval: Arc<Retrieval>,
    context: Context,
    tasks: JoinSet<Done>,
    lanes: Lanes<Lane, Job<KnowledgeJob>>,
}

impl Crew {
    async fn work(&mut self, retrieval: &mut Consumer, ingest: &mut Consumer) -> Result<(), BrokerError> {
        let stop = self.context.stop.clone();
        while !stop.is_cancelled() {
            let delivery: Option<Intake> = tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.tasks.join_next() => {
                    self.ended(done);
                    continue;
                }
                delivery = retrieval.next() => delivery.map(Intake::Search),
                delivery = ingest.next() => delivery.map(Intake::Ingest),
            };
            match delivery {
                Some(Intake::Search(delivery)) => self.search(delivery).await,
                Some(Intake::Ingest(delivery)) => self.ingest(delivery).await,
                None => return Err(BrokerError::Unavailable("the broker has shut down".into())),
            }
        }
        Ok(())
    }

    async fn search(&mut self, delivery: Delivery) {
        let Some(job) = Job::<RetrievalJob>::read(delivery, topology::RETRIEVAL.name, &self.context).await else {
            return;
        };
        let (retrieval, context) = (self.retrieval.clone(), self.context.clone());
        self.tasks.spawn(async move {
            let work = async move |tenant, _, body: RetrievalJob| {
                retrieval.search(&tenant, &body).await.map(protocol::Event::Retrieved)
            };
            job.perform(&context, work).await;
            None
        });
    }

    async fn ingest(&mut self, delivery: Delivery) {
        let Some(job) = Job::<KnowledgeJob>::read(delivery, topology::INGEST.name, &self.context).await else { return };
        match Lane::of(job.tenant(), job.body()) {
            Some(lane) => self.lanes.add(lane, job),
            None => self.start_ingest(None, job),
        }
        self.start_ingests();
    }

    fn start_ingests(&mut self) {
        while let Some(job) = self.lanes.start() {
            self.start_ingest(Lane::of(job.tenant(), job.body()), job);
        }
    }

    fn start_ingest(&mut self, lane: Option<Lane>, job: Job<KnowledgeJob>) {
        let (retrieval, context) = (self.retrieval.clone(), self.context.clone());
        self.tasks.spawn(async move {
            let work = async move |tenant, deadline, body| retrieval.apply(&tenant, deadline, body).await;
            job.perform(&context, work).await;
            lane
        });
    }

    fn ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Some(lane)) => self.lanes.done(lane),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a job's task ended by a panic"),
        }
        self.start_ingests();
    }

    /// Waits for the running jobs, but not past the grace.
    async fn drain(&mut self) {
        let grace = Duration::from_millis(self.retrieval.config().drain_ms);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(grace, all).await.is_err() {
            tracing::warn!(unfinished = self.tasks.len(), "stopped before every job was done; the rest is requeued");
        }
    }
}

enum Intake {
    Search(Delivery),
    Ingest(Delivery),
}
