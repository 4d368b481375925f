//! Jobs on a tenant's documents: published, then answered by one reply.

use crate::{env::Env, publish::Job, turn::Input};
use protocol::{ErrorCode, Event, Failure, JobId, KnowledgeJob, TenantId, topology};
use runtime::telemetry;
use std::{sync::Arc, time::Duration};

/// A document must be known after this time.
const INGEST: Duration = Duration::from_secs(120);
/// Many documents that are read already are served after this time.
const PUBLISH: Duration = Duration::from_secs(900);
/// A look takes no longer; a worker that is not there is noticed by then.
const LOOK: Duration = Duration::from_secs(10);

/// A rebuild of a large knowledge may take this long.
const REBUILD: Duration = Duration::from_secs(24 * 60 * 60);

fn limit(job: &KnowledgeJob) -> Duration {
    match job {
        KnowledgeJob::Put { .. } | KnowledgeJob::Add { .. } | KnowledgeJob::Delete { .. } => INGEST,
        KnowledgeJob::Publish { .. } => PUBLISH,
        KnowledgeJob::Rebuild => REBUILD,
        _ => LOOK,
    }
}

/// Publishes a job whose outcome nobody awaits.
pub(crate) async fn begin(env: &Arc<Env>, tenant: &TenantId, body: KnowledgeJob) -> Result<(), Failure> {
    let deadline = env.now().after_ms(limit(&body).as_millis() as u64);
    let traceparent = telemetry::traceparent();
    env.publisher
        .job(topology::INGEST, Job { tenant: tenant.clone(), id: env.new_job(), deadline, traceparent, body })
        .await
}

/// Awaits the job's outcome; the route ends when the caller gives up.
pub(crate) async fn ask(env: &Arc<Env>, tenant: &TenantId, body: KnowledgeJob) -> Result<Event, Failure> {
    let limit = limit(&body);
    let id = env.new_job();
    let mut inbox = env.routes.open(&id);
    let deadline = env.now().after_ms(limit.as_millis() as u64);
    let traceparent = telemetry::traceparent();
    let job = Job { tenant: tenant.clone(), id: id.clone(), deadline, traceparent, body };
    env.publisher.job(topology::INGEST, job).await?;
    let answered = tokio::time::timeout(limit, async {
        loop {
            match inbox.next().await? {
                Input::Reply(reply) => {
                    if let Some(event) = reply.events.into_iter().find(is_outcome) {
                        return Some(event);
                    }
                }
                _ => return None,
            }
        }
    });
    match answered.await {
        Ok(Some(Event::Failed(failure))) => Err(failure),
        Ok(Some(event)) => Ok(event),
        Ok(None) => {
            Err(Failure::new(ErrorCode::Internal, "the answer about the document was lost; list the documents"))
        }
        Err(_) => Err(expired(env, &id).await),
    }
}

fn is_outcome(event: &Event) -> bool {
    matches!(
        event,
        Event::Ingested(_)
            | Event::Deleted
            | Event::Documents { .. }
            | Event::Ingest(_)
            | Event::Versions { .. }
            | Event::Unanswered { .. }
            | Event::Failed(_)
    )
}

async fn expired(env: &Env, job: &JobId) -> Failure {
    env.publisher.cancel(job).await;
    let message = "no retrieval worker has done the job in time; check that one runs, and list the documents";
    Failure::new(ErrorCode::DeadlineExceeded, message)
}
