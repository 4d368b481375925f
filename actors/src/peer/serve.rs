//! What is done for another node.

use super::SERVED_MAX;
use crate::{
    TurnStream,
    ask::Ask,
    registry::{Found, Registry},
    session::{Begin, Delete, Follow, Stop},
    store::SessionKey,
};
use futures_util::FutureExt;
use protocol::{ErrorCode, Failure, JobId, NodeId, PeerAsk, PeerCall, PeerMessage, PeerNews, PeerWord, TurnEvent};
use runtime::{BrokerError, telemetry};
use std::time::Duration;
use tracing::{Instrument, info_span};

/// Events that are sent at once at most.
const BATCH: usize = 64;

/// Begins to answer `call`; the answers are sent by a task of their own.
pub(super) fn begin(registry: Registry, call: PeerCall) {
    let (id, is_left) = (call.id.clone(), matches!(call.ask, PeerAsk::Leave));
    if is_left {
        let served = registry.0.peers.served().remove(&id);
        return served.into_iter().for_each(|task| task.abort());
    }
    let span = info_span!("peer", tenant = %call.tenant, from = %call.from);
    telemetry::continue_from(&span, call.traceparent.as_deref());
    let mut served = registry.0.peers.served();
    let is_full = served.len() >= SERVED_MAX;
    let task = tokio::spawn(
        Line { registry: registry.clone(), id: id.clone(), to: call.from.clone(), seq: 0 }
            .answer(call, is_full)
            .instrument(span),
    );
    served.insert(id, task.abort_handle());
}

/// The way back to the caller.
struct Line {
    registry: Registry,
    id: JobId,
    to: NodeId,
    seq: u64,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.registry.0.peers.served().remove(&self.id);
    }
}

impl Line {
    async fn answer(mut self, call: PeerCall, is_full: bool) {
        let told = match is_full {
            true => self.say(PeerWord::Refused(too_many())).await,
            false => self.serve(call).await,
        };
        if let Err(error) = told {
            tracing::debug!(%error, "another node is not answered any more");
        }
    }

    async fn serve(&mut self, PeerCall { tenant, session, ask, .. }: PeerCall) -> Result<(), BrokerError> {
        let (registry, key) = (self.registry.clone(), SessionKey::new(&tenant, &session));
        match ask {
            PeerAsk::Submit(submit) => {
                let begin = Begin { ask: Ask::Message(submit), parent: tracing::Span::current() };
                let begun = registry.here(&key, begin).await;
                self.turn(begun, 0).await
            }
            PeerAsk::Follow { turn, from } => {
                let found = registry.here(&key, Follow(turn)).await;
                self.turn(found, from).await
            }
            PeerAsk::Stop { turn } => {
                let stopped = registry.here(&key, Stop(turn)).await;
                self.done(stopped).await
            }
            PeerAsk::Delete => {
                let deleted = registry.here(&key, Delete).await;
                self.done(deleted).await
            }
            PeerAsk::Leave => Ok(()),
        }
    }

    async fn done(&mut self, done: Result<Found<()>, Failure>) -> Result<(), BrokerError> {
        let word = match done {
            Ok(Found::Here(())) => PeerWord::Done,
            Ok(Found::Elsewhere(_)) => PeerWord::Moved,
            Err(failure) => self.refused(failure),
        };
        self.say(word).await
    }

    async fn turn(&mut self, found: Result<Found<TurnStream>, Failure>, from: u64) -> Result<(), BrokerError> {
        let mut stream = match found {
            Ok(Found::Here(stream)) => stream,
            Ok(Found::Elsewhere(_)) => return self.say(PeerWord::Moved).await,
            Err(failure) => {
                let word = self.refused(failure);
                return self.say(word).await;
            }
        };
        stream.skip_to(from);
        self.say(PeerWord::Turn { turn: stream.job().clone() }).await?;
        let pulse = Duration::from_millis(self.registry.0.env.config.lease_ms / 3);
        loop {
            match tokio::time::timeout(pulse, stream.next()).await {
                Err(_) => self.say(PeerWord::Alive).await?,
                Ok(None) => return self.say(PeerWord::Moved).await,
                Ok(Some(first)) => {
                    let events = gather(&mut stream, first);
                    let is_over = events.last().is_some_and(|(_, event)| event.is_last());
                    self.say(PeerWord::Events { events }).await?;
                    if is_over {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What a node that stops cannot do, another one soon can.
    fn refused(&self, failure: Failure) -> PeerWord {
        let stops = failure.code == ErrorCode::Unavailable && self.registry.0.env.load.is_draining();
        if stops { PeerWord::Moved } else { PeerWord::Refused(failure) }
    }

    async fn say(&mut self, word: PeerWord) -> Result<(), BrokerError> {
        let news = PeerNews { id: self.id.clone(), seq: self.seq, word };
        self.seq += 1;
        self.registry.0.peers.send(&self.to, PeerMessage::News(news)).await
    }
}

/// `first` and what else is there already.
fn gather(stream: &mut TurnStream, first: (u64, TurnEvent)) -> Vec<(u64, TurnEvent)> {
    let mut events = vec![first];
    while events.len() < BATCH {
        match stream.next().now_or_never().flatten() {
            Some(event) => events.push(event),
            None => break,
        }
    }
    events
}

fn too_many() -> Failure {
    Failure::new(ErrorCode::Overloaded, "the node that holds the session serves too many others; try again shortly")
}
