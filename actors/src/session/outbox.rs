//! What a session has to say to the broker, in order: a job is published before its cancellation.

use crate::{affinity::Outcome, env::Env, publish::Job};
use protocol::{ErrorCode, Failure, InferenceJob, JobId, RetrievalJob, WorkerId, topology};
use std::{collections::VecDeque, time::Duration};

/// Messages that wait for the broker at most; one turn needs no more than a dozen.
const CAPACITY: usize = 64;

/// How long a broker is asked to let a begun answer go on, in milliseconds, and the pause between two attempts.
const PERSISTS_MS: u64 = 30_000;
const PAUSE: Duration = Duration::from_millis(200);

/// One message to the broker.
pub(super) enum Outgoing {
    Retrieve(Job<RetrievalJob>),
    /// To this worker, if it takes jobs.
    Infer(Box<Job<InferenceJob>>, Option<WorkerId>),
    Cancel(JobId),
}

impl Outgoing {
    fn job(&self) -> &JobId {
        match self {
            Outgoing::Retrieve(job) => &job.id,
            Outgoing::Infer(job, _) => &job.id,
            Outgoing::Cancel(job) => job,
        }
    }

    /// Tells whether the worker that it was for has left; fails with the job that was not published.
    pub async fn send(self, env: &Env) -> Result<bool, (JobId, Failure)> {
        let id = self.job().clone();
        let sent = match self {
            Outgoing::Retrieve(job) => env.publisher.job(topology::RETRIEVAL, job).await.map(|()| false),
            Outgoing::Infer(job, worker) => infer(env, *job, worker).await,
            Outgoing::Cancel(job) => {
                env.publisher.cancel(&job).await;
                Ok(false)
            }
        };
        sent.map_err(|failure| (id, failure))
    }
}

/// A worker that has left, or whose own queue is full, costs no more than the question.
async fn infer(env: &Env, job: Job<InferenceJob>, worker: Option<WorkerId>) -> Result<bool, Failure> {
    if let Some(worker) = &worker {
        if env.publisher.job_for(worker, job.clone()).await? {
            return Ok(false);
        }
        env.affinity.note(worker, Outcome::Gone, env.now());
    }
    persist(env, job).await.map(|()| worker.is_some())
}

/// A turn that has shown part of its answer can say nothing else instead: it waits for room.
async fn persist(env: &Env, job: Job<InferenceJob>) -> Result<(), Failure> {
    let until = job.deadline.min(env.now().after_ms(PERSISTS_MS));
    loop {
        let published = env.publisher.job(topology::INFERENCE, job.clone()).await;
        let is_hopeful = |failure: &Failure| failure.code.is_retryable() && !job.body.prefix.is_empty();
        match published {
            Err(failure) if is_hopeful(&failure) && env.now() < until && !env.load.is_draining() => {
                tokio::time::sleep(PAUSE).await;
            }
            published => return published,
        }
    }
}

/// The messages that wait, one being sent at a time.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Outgoing>,
    sending: bool,
}

impl Outbox {
    /// Fails with the job that found no room. Cancelling a job that still waits just removes it.
    pub fn push(&mut self, message: Outgoing) -> Result<(), (JobId, Failure)> {
        if let Outgoing::Cancel(job) = &message {
            let before = self.waiting.len();
            self.waiting.retain(|waiting| waiting.job() != job);
            if self.waiting.len() < before {
                return Ok(());
            }
        }
        if self.waiting.len() >= CAPACITY {
            let message_to_client = "the message broker is slow; try again shortly";
            return Err((message.job().clone(), Failure::new(ErrorCode::Overloaded, message_to_client)));
        }
        self.waiting.push_back(message);
        Ok(())
    }

    /// The next message, unless one is being sent; report its end with [`Outbox::sent`].
    pub fn next(&mut self) -> Option<Outgoing> {
        if self.sending {
            return None;
        }
        let next = self.waiting.pop_front();
        self.sending = next.is_some();
        if self.waiting.is_empty() {
            // An idle session keeps no room for messages.
            self.waiting.shrink_to_fit();
        }
        next
    }

    pub fn sent(&mut self) {
        self.sending = false;
    }

    pub fn is_empty(&self) -> bool {
        !self.sending && self.waiting.is_empty()
    }
}
