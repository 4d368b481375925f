//! What a session has to say to the broker, in order: a job is published before its cancellation.

use crate::{env::Env, publish::Job};
use protocol::{ErrorCode, Failure, InferenceJob, JobId, RetrievalJob, topology};
use std::collections::VecDeque;

/// Messages that wait for the broker at most; one turn needs no more than a dozen.
const CAPACITY: usize = 64;

/// One message to the broker.
pub(super) enum Outgoing {
    Retrieve(Job<RetrievalJob>),
    Infer(Job<InferenceJob>),
    Cancel(JobId),
}

impl Outgoing {
    fn job(&self) -> &JobId {
        match self {
            Outgoing::Retrieve(job) => &job.id,
            Outgoing::Infer(job) => &job.id,
            Outgoing::Cancel(job) => job,
        }
    }

    /// Fails with the job that was not published.
    pub async fn send(self, env: &Env) -> Result<(), (JobId, Failure)> {
        let id = self.job().clone();
        let sent = match self {
            Outgoing::Retrieve(job) => env.publisher.job(topology::RETRIEVAL, job).await,
            Outgoing::Infer(job) => env.publisher.job(topology::INFERENCE, job).await,
            Outgoing::Cancel(job) => {
                env.publisher.cancel(&job).await;
                Ok(())
            }
        };
        sent.map_err(|failure| (id, failure))
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
        next
    }

    pub fn sent(&mut self) {
        self.sending = false;
    }

    pub fn is_empty(&self) -> bool {
        !self.sending && self.waiting.is_empty()
    }
}
