//! Events of a turn that runs on another node, into a log of this one.

use super::call::Call;
use crate::{TurnLog, TurnStream, registry::Registry, store::SessionKey};
use protocol::PeerWord;
use std::{pin::Pin, time::Duration};

/// Copies until the turn has ended or nobody reads; when the owner is lost, from wherever the turn is then.
pub(super) async fn pump(registry: Registry, key: SessionKey, mut call: Call, log: TurnLog, from: u64) {
    let silence = Duration::from_millis(registry.0.env.config.lease_ms);
    let unread = log.abandoned(Duration::ZERO, false);
    tokio::pin!(unread);
    loop {
        let word = tokio::select! {
            word = call.next(silence) => word,
            () = &mut unread => {
                log.moved();
                return registry.0.peers.hang_up(&call, &key).await;
            }
        };
        match word {
            Some(PeerWord::Events { events }) => {
                let is_over = events.last().is_some_and(|(_, event)| event.is_last());
                events.into_iter().for_each(|(seq, event)| log.copy(seq, event));
                if is_over {
                    return;
                }
            }
            Some(PeerWord::Alive) => {}
            _ => break,
        }
    }
    drop(call);
    let next = log.next_seq().max(from);
    let Some(stream) = again(&registry, &key, &log, next).await else { return log.moved() };
    copy(stream, &log).await;
}

type Followed<'a> = Pin<Box<dyn Future<Output = Option<TurnStream>> + Send + 'a>>;

/// Boxed, since following may lead here again.
fn again<'a>(registry: &'a Registry, key: &'a SessionKey, log: &'a TurnLog, next: u64) -> Followed<'a> {
    Box::pin(async move {
        let followed = registry.follow(&key.tenant, &key.session, log.job(), next).await;
        followed.inspect_err(|failure| tracing::info!(%failure, "a turn of another node cannot be followed")).ok()
    })
}

async fn copy(mut stream: TurnStream, log: &TurnLog) {
    let unread = log.abandoned(Duration::ZERO, false);
    tokio::pin!(unread);
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            () = &mut unread => return log.moved(),
        };
        let Some((seq, event)) = event else { return log.moved() };
        let is_over = event.is_last();
        log.copy(seq, event);
        if is_over {
            return;
        }
    }
}
