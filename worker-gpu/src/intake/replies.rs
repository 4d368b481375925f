//! The frames of one attempt at one job, on their way to the reader.

use bytes::Bytes;
use protocol::{Envelope, Event, InferenceJob, JobId, Reply, Timestamp};
use runtime::{Broker, BrokerError, Clock, Message};
use std::{sync::Arc, time::Duration};

/// Between two attempts to publish while the broker cannot take frames.
const RETRY: Duration = Duration::from_millis(200);

/// Nobody will read further frames: the reader is gone, or the deadline passed while the broker did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread;

/// Numbers, coalesces and publishes frames.
pub(super) struct Replies {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    queue: String,
    deadline: Timestamp,
    job: JobId,
    attempt: u32,
    /// Tells this delivery's frames from those of a copy of the job.
    delivery: u64,
    seq: u64,
    pending: Vec<Event>,
}

impl Replies {
    pub fn new(
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        envelope: &Envelope<InferenceJob>,
        attempt: u32,
        delivery: u64,
    ) -> Self {
        Self {
            broker,
            clock,
            queue: envelope.reply_to.clone(),
            deadline: envelope.deadline,
            job: envelope.job.clone(),
            attempt,
            delivery,
            seq: 0,
            pending: Vec::new(),
        }
    }

    /// Appends a frame to the next batch; consecutive ones of a kind become one frame.
    pub fn push(&mut self, event: Event) {
        match (self.pending.last_mut(), event) {
            (
                Some(Event::Token { text, tokens, logprobs }),
                Event::Token { text: more, tokens: count, logprobs: mut theirs },
            ) => {
                text.push_str(&more);
                *tokens += count;
                logprobs.append(&mut theirs);
            }
            (Some(Event::Aside(aside)), Event::Aside(more)) => aside.join(more),
            (_, event) => self.pending.push(event),
        }
    }

    /// Publishes what is pending and returns once the broker has confirmed it.
    pub async fn flush(&mut self) -> Result<(), Unread> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.pending);
        let next = self.seq + events.len() as u64;
        let reply =
            Reply { job: self.job.clone(), attempt: self.attempt, delivery: self.delivery, seq: self.seq, events };
        let body = serde_json::to_vec(&reply).map_err(|error| {
            tracing::error!(%error, "a reply cannot be written");
            Unread
        })?;
        self.seq = next;
        self.publish(body.into()).await
    }

    /// Appends the last frame and publishes everything.
    pub async fn finish(mut self, event: Event) -> Result<(), Unread> {
        self.push(event);
        self.flush().await
    }

    async fn publish(&self, body: Bytes) -> Result<(), Unread> {
        loop {
            let message = Message { body: body.clone(), ttl: None };
            match self.broker.publish(&self.queue, message).await {
                Ok(()) => return Ok(()),
                Err(BrokerError::Unroutable(_)) => return Err(Unread),
                Err(error) if self.deadline <= self.clock.now() => {
                    tracing::warn!(job = %self.job, %error, "frames could not be published before the deadline");
                    return Err(Unread);
                }
                Err(error) => {
                    tracing::debug!(job = %self.job, %error, "publishing frames again soon");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}
