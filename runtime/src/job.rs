//! How a worker reads a job, and what becomes of one that it cannot read.

use crate::{Context, Delivery, Message, broker::Reason};
use protocol::{Envelope, ErrorCode, Event, Failure, Reply};
use serde::de::{DeserializeOwned, IgnoredAny};

/// Reads a delivery of `queue`. One that cannot be read becomes a dead letter, and who awaits its answer is told, if the
/// envelope at least says who that is.
pub async fn read<B>(delivery: Delivery, queue: &str, context: &Context) -> Option<(Envelope<B>, Delivery)>
where
    B: DeserializeOwned,
{
    let why = match serde_json::from_slice::<Envelope<B>>(&delivery.body) {
        Ok(envelope) if envelope.v == Envelope::<B>::VERSION => return Some((envelope, delivery)),
        Ok(envelope) => other_version(envelope.v),
        // The error's own text may quote the body.
        Err(error) => format!("unreadable: {:?} at column {}", error.classify(), error.column()),
    };
    refuse(delivery, queue, &why, context).await;
    None
}

fn other_version(found: u16) -> String {
    format!("version {found}, this build reads {}", Envelope::<()>::VERSION)
}

async fn refuse(delivery: Delivery, queue: &str, why: &str, context: &Context) {
    let envelope: Option<Envelope<IgnoredAny>> = serde_json::from_slice(&delivery.body).ok();
    let version = envelope.as_ref().map(|envelope| envelope.v).filter(|version| *version != Envelope::<()>::VERSION);
    let why = version.map_or_else(|| why.into(), other_version);
    let job = envelope.as_ref().map(|envelope| envelope.job.to_string()).unwrap_or_default();
    tracing::error!(queue, job, why, bytes = delivery.body.len(), "a job cannot be read: dead letter");
    if let Some(envelope) = envelope {
        tell(&envelope, delivery.attempt, context).await;
    }
    // The broker delivers the job again, and it is refused again.
    if let Err(error) = delivery.dead_letter(Reason::Refused, &why).await {
        tracing::warn!(%error, queue, "a refused job could not be settled");
    }
}

async fn tell(envelope: &Envelope<IgnoredAny>, attempt: u32, context: &Context) {
    let failure =
        Failure::new(ErrorCode::Unavailable, "a worker cannot read the job; see its log and the dead letters");
    let (job, delivery) = (envelope.job.clone(), context.random.seed());
    let reply = Reply { job, attempt, delivery, seq: 0, events: vec![Event::Failed(failure)] };
    let Ok(body) = serde_json::to_vec(&reply) else { return };
    let told = context.broker.publish(&envelope.reply_to, Message { body: body.into(), ttl: None }).await;
    if let Err(error) = told {
        tracing::debug!(job = %envelope.job, %error, "nobody was told that the job cannot be read");
    }
}
