//! The other nodes: what is asked of the owner of a session, and what others ask of this node.
//!
//! Nodes speak over their queues `peers.<node>`. Nothing here is kept: a loss is noticed by a gap in the numbers, by silence,
//! or since the queue was renewed, and then the session's owner is found out anew and the turn followed from the next event.

mod call;
mod pump;
mod serve;

use crate::{TurnLog, TurnStream, registry::Inner, registry::Registry, store::Member, store::SessionKey};
use call::Call;
use protocol::{Failure, JobId, NodeId, PeerAsk, PeerCall, PeerMessage, PeerNews, PeerWord, topology};
use runtime::{Broker, BrokerError, Context, Message, Random, broker::Incoming, telemetry};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{sync::mpsc, task::AbortHandle};

/// The owner must begin to answer within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// A word that nobody takes for this long is of no use any more.
const TTL: Duration = Duration::from_secs(30);
/// Answers that wait for one call.
const INBOX: usize = 128;
/// Turns of this node's sessions that other nodes read at once.
const SERVED_MAX: usize = 20_000;

/// Who awaits the answers to which call.
type Calls = Arc<Mutex<HashMap<JobId, mpsc::Sender<PeerNews>>>>;

/// This node among the others.
pub(crate) struct Peers {
    node: NodeId,
    broker: Arc<dyn Broker>,
    random: Arc<dyn Random>,
    calls: Calls,
    /// What is done for others, by their calls.
    served: Mutex<HashMap<JobId, AbortHandle>>,
}

impl Peers {
    /// Declares the node's queue.
    pub async fn start(node: NodeId, context: &Context) -> Result<(Self, mpsc::Receiver<Incoming>), BrokerError> {
        let incoming = context.broker.replies(&topology::peers(&node)).await?;
        let (broker, random) = (context.broker.clone(), context.random.clone());
        let (calls, served) = (Calls::default(), Mutex::default());
        Ok((Self { node, broker, random, calls, served }, incoming))
    }

    /// Asks for something that is done at once. `None`: the owner is another one now, or does not answer.
    pub async fn ask(&self, owner: &Member, key: &SessionKey, ask: PeerAsk) -> Result<Option<()>, Failure> {
        let Some(mut call) = self.call(owner, key, ask).await else { return Ok(None) };
        match call.next(PATIENCE).await {
            Some(PeerWord::Done) => Ok(Some(())),
            Some(PeerWord::Refused(failure)) => Err(failure),
            _ => Ok(None),
        }
    }

    /// Asks for a turn's events, of which the first has at least the number `from`. `None`: as in [`ask`](Self::ask).
    pub async fn turn(
        &self,
        registry: &Registry,
        owner: &Member,
        key: &SessionKey,
        ask: PeerAsk,
        from: u64,
    ) -> Result<Option<TurnStream>, Failure> {
        let Some(mut call) = self.call(owner, key, ask).await else { return Ok(None) };
        match call.next(PATIENCE).await {
            Some(PeerWord::Turn { turn }) => {
                let log = TurnLog::new(turn);
                let mut stream = log.reader();
                stream.skip_to(from);
                tokio::spawn(pump::pump(registry.clone(), key.clone(), call, log, from));
                Ok(Some(stream))
            }
            Some(PeerWord::Refused(failure)) => Err(failure),
            _ => Ok(None),
        }
    }

    async fn call(&self, owner: &Member, key: &SessionKey, ask: PeerAsk) -> Option<Call> {
        let id = JobId::from_uuid(self.random.uuid());
        let (news, inbox) = mpsc::channel(INBOX);
        self.calls().insert(id.clone(), news);
        let call = Call::new(id, inbox, owner.node.clone(), self.calls.clone());
        self.send(&call.to, self.request(&call.id, key, ask)).await.ok()?;
        Some(call)
    }

    fn request(&self, id: &JobId, key: &SessionKey, ask: PeerAsk) -> PeerMessage {
        PeerMessage::Call(PeerCall {
            id: id.clone(),
            from: self.node.clone(),
            tenant: key.tenant.clone(),
            session: key.session.clone(),
            traceparent: telemetry::traceparent(),
            ask,
        })
    }

    /// The caller awaits no more.
    async fn hang_up(&self, call: &Call, key: &SessionKey) {
        if let Err(error) = self.send(&call.to, self.request(&call.id, key, PeerAsk::Leave)).await {
            tracing::debug!(%error, "the owner of a session does not hear that nobody reads");
        }
    }

    async fn send(&self, to: &NodeId, message: PeerMessage) -> Result<(), BrokerError> {
        let body = serde_json::to_vec(&message).map_err(|error| BrokerError::Misconfigured(error.to_string()))?;
        let message = Message { body: body.into(), ttl: Some(TTL) };
        let queue = topology::peers(to);
        let sent = self.broker.publish(&queue, message);
        tokio::time::timeout(PATIENCE, sent).await.unwrap_or_else(|_| Err(BrokerError::Unavailable("no answer".into())))
    }

    fn hear(&self, news: PeerNews) {
        let mut calls = self.calls();
        let id = news.id.clone();
        // One that has fallen behind learns of its loss by the end of its inbox.
        if calls.get(&id).is_some_and(|call| call.try_send(news).is_err()) {
            calls.remove(&id);
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<JobId, mpsc::Sender<PeerNews>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn served(&self) -> MutexGuard<'_, HashMap<JobId, AbortHandle>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears the other nodes until the broker has shut down for good.
pub(crate) async fn listen(mut incoming: mpsc::Receiver<Incoming>, inner: Weak<Inner>) {
    while let Some(message) = incoming.recv().await {
        let Some(registry) = inner.upgrade().map(Registry) else { return };
        match message {
            Incoming::Renewed => registry.0.peers.calls().clear(),
            Incoming::Reply(body) => match serde_json::from_slice(&body) {
                Ok(PeerMessage::News(news)) => registry.0.peers.hear(news),
                Ok(PeerMessage::Call(call)) => serve::begin(registry, call),
                Err(error) => {
                    let error = crate::json::place(&error);
                    tracing::warn!(bytes = body.len(), error, "what another node says cannot be read");
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{SessionId, TenantId};
    use runtime::{Health, broker, clock};

    #[tokio::test]
    async fn a_call_that_nobody_answers_leaves_nothing_behind() {
        let broker = broker::connect("memory:", PATIENCE).await.unwrap();
        let (clock, random) = (Arc::new(clock::System), Arc::new(clock::System));
        let stop = tokio_util::sync::CancellationToken::new();
        let context = Context { broker, clock, random, health: Health::default(), stop };
        let node = |name: &str| NodeId::parse(name).unwrap();
        let (peers, _incoming) = Peers::start(node("here"), &context).await.unwrap();
        let (tenant, session) = (TenantId::parse("t").unwrap(), SessionId::parse("s").unwrap());
        let key = SessionKey::new(&tenant, &session);
        let gone = Member::new(node("gone"));
        assert_eq!(peers.ask(&gone, &key, PeerAsk::Delete).await, Ok(None));
        let silent = Member::new(node("here"));
        let call = peers.call(&silent, &key, PeerAsk::Delete).await.unwrap();
        assert_eq!(peers.calls().len(), 1);
        drop(call);
        assert!(peers.calls().is_empty());
    }
}
