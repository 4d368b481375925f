//! One job from its delivery to its settlement.

use bytes::Bytes;
use protocol::{Envelope, ErrorCode, Event, Failure, Reply, TenantId, Timestamp, topology};
use runtime::{BrokerError, Context, Delivery, Message, telemetry};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tracing::Instrument;

/// How often an answer is published before the job goes back to its queue, and the pause before the second time.
const PUBLISH_ATTEMPTS: u32 = 4;
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);

/// A job that was read from its delivery.
pub struct Job<B> {
    envelope: Envelope<B>,
    delivery: Delivery,
    queue: &'static str,
}

impl<B: DeserializeOwned + Send + 'static> Job<B> {
    /// Reads a delivery of `queue`; one that cannot be read becomes a dead letter.
    pub async fn read(delivery: Delivery, queue: &'static str, context: &Context) -> Option<Self> {
        let (envelope, delivery) = runtime::job::read(delivery, queue, context).await?;
        Some(Self { envelope, delivery, queue })
    }

    /// Whose job it is.
    pub fn tenant(&self) -> &TenantId {
        &self.envelope.tenant
    }

    /// What is to be done.
    pub fn body(&self) -> &B {
        &self.envelope.body
    }

    /// Does `work`, publishes its answer and settles the delivery, in this order.
    pub async fn perform<F>(self, context: &Context, work: impl FnOnce(TenantId, Timestamp, B) -> F)
    where
        F: Future<Output = Result<Event, Failure>>,
    {
        let Self { envelope, delivery, queue } = self;
        let Envelope { tenant, job, reply_to, deadline, published, traceparent, body, .. } = envelope;
        let now = context.clock.now();
        let waited_ms = now.ms_from(published);
        let name = if queue == topology::INGEST.name { "ingest" } else { "retrieval" };
        let span = tracing::info_span!(
            "retrieval", otel.name = name, otel.kind = "consumer", gen_ai.operation.name = name,
            messaging.destination.name = queue, %tenant, %job, attempt = delivery.attempt, queue_wait_ms = waited_ms,
        );
        telemetry::continue_from(&span, traceparent.as_deref());
        let event = if deadline.ms_from(now) == 0 {
            failed(ErrorCode::DeadlineExceeded, "the job waited past its deadline")
        } else {
            work(tenant, deadline, body).instrument(span.clone()).await.unwrap_or_else(Event::Failed)
        };
        let reply =
            Reply { job, attempt: delivery.attempt, delivery: context.random.seed(), seq: 0, events: vec![event] };
        let answered = answer(context, &reply_to, &reply).instrument(span).await;
        settle(delivery, queue, if answered { How::Ack } else { How::Requeue }).await;
    }
}

fn failed(code: ErrorCode, message: &str) -> Event {
    Event::Failed(Failure::new(code, message))
}

/// Publishes `reply`; `false`: nobody has it, though somebody may wait for it.
async fn answer(context: &Context, queue: &str, reply: &Reply) -> bool {
    let body = match serde_json::to_vec(reply) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            return false;
        }
    };
    let mut pause = PUBLISH_PAUSE;
    for attempt in 1..=PUBLISH_ATTEMPTS {
        match context.broker.publish(queue, Message { body: body.clone(), ttl: None }).await {
            Ok(()) => return true,
            Err(BrokerError::Unroutable(_)) => {
                tracing::debug!("nobody awaits the answer");
                return true;
            }
            Err(error) if attempt == PUBLISH_ATTEMPTS => tracing::warn!(%error, "the answer was not taken; requeue"),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    }
    false
}

#[derive(Debug, Clone, Copy)]
enum How {
    Ack,
    Requeue,
}

async fn settle(delivery: Delivery, queue: &'static str, how: How) {
    let result = match how {
        How::Ack => delivery.ack().await,
        How::Requeue => delivery.requeue().await,
    };
    // The broker delivers the job again; its reader drops the frames of the older attempt.
    if let Err(error) = result {
        tracing::warn!(%error, queue, ?how, "a delivery could not be settled");
    }
}
