//! A store that fails for a moment costs no answer.

use crate::support::{FakeWorker, Step, collect, failed, finished, memory_store, message, node, tenant, text_of};
use actors::{
    Config, Registry,
    store::{Claim, Fence, Member, Members, SessionKey, SessionStore, StoreError, Stored},
};
use async_trait::async_trait;
use bytes::Bytes;
use protocol::{ErrorCode, JobId, SessionId, TurnEvent};
use runtime::broker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// How a write fails.
#[derive(Clone, Copy)]
enum Loss {
    /// It does not arrive.
    Request,
    /// It is done, its answer is lost.
    Answer,
}

/// A store of whose saves and shows the next `left` fail.
struct Hiccups {
    store: Arc<dyn SessionStore>,
    loss: Loss,
    left: AtomicU32,
}

impl Hiccups {
    async fn write(&self, write: impl Future<Output = Result<(), StoreError>> + Send) -> Result<(), StoreError> {
        let fails = self.left.try_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
        if !fails {
            return write.await;
        }
        if matches!(self.loss, Loss::Answer) {
            write.await?;
        }
        Err(StoreError::Unavailable("a hiccup".into()))
    }
}

#[async_trait]
impl SessionStore for Hiccups {
    async fn create(&self, key: &SessionKey, state: Bytes) -> Result<(), StoreError> {
        self.store.create(key, state).await
    }
    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError> {
        self.store.load(key).await
    }
    async fn claim(&self, key: &SessionKey, by: &Member, of: Option<&Member>) -> Result<Option<Claim>, StoreError> {
        self.store.claim(key, by, of).await
    }
    async fn accept(&self, key: &SessionKey, fence: &Fence, turn: &JobId, message: Bytes) -> Result<(), StoreError> {
        self.store.accept(key, fence, turn, message).await
    }
    async fn show(
        &self,
        key: &SessionKey,
        fence: &Fence,
        turn: &JobId,
        from: usize,
        events: &[Bytes],
    ) -> Result<(), StoreError> {
        self.write(self.store.show(key, fence, turn, from, events)).await
    }
    async fn save(
        &self,
        key: &SessionKey,
        fence: &Fence,
        write: u64,
        state: Bytes,
        turn: &JobId,
    ) -> Result<(), StoreError> {
        self.write(self.store.save(key, fence, write, state, turn)).await
    }
    async fn close(&self, key: &SessionKey, fence: &Fence, turn: &JobId) -> Result<(), StoreError> {
        self.store.close(key, fence, turn).await
    }
    async fn release(&self, key: &SessionKey, fence: &Fence) -> Result<(), StoreError> {
        self.store.release(key, fence).await
    }
    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError> {
        self.store.delete(key).await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
}

#[async_trait]
impl Members for Hiccups {
    async fn join(&self, member: &Member, lease: Duration) -> Result<(), StoreError> {
        self.store.join(member, lease).await
    }
    async fn renew(&self, member: &Member, lease: Duration) -> Result<bool, StoreError> {
        self.store.renew(member, lease).await
    }
    async fn leave(&self, member: &Member) -> Result<(), StoreError> {
        self.store.leave(member).await
    }
    async fn is_alive(&self, member: &Member) -> Result<bool, StoreError> {
        self.store.is_alive(member).await
    }
    async fn orphans(&self, most: usize) -> Result<Vec<(Member, SessionKey)>, StoreError> {
        self.store.orphans(most).await
    }
    async fn held(&self, of: &Member, from: u64) -> Result<(Vec<SessionKey>, u64), StoreError> {
        self.store.held(of, from).await
    }
    async fn adopted(&self, of: &Member, by: Option<&Member>, key: &SessionKey) -> Result<(), StoreError> {
        self.store.adopted(of, by, key).await
    }
}

/// A node with one session, whose store then fails `count` times.
async fn start(config: &Config, loss: Loss, count: u32) -> (Registry, SessionId, Arc<dyn SessionStore>) {
    start_saying(config, loss, count, || vec![Step::Say("Yes.")]).await
}

async fn start_saying(
    config: &Config,
    loss: Loss,
    count: u32,
    says: fn() -> Vec<Step>,
) -> (Registry, SessionId, Arc<dyn SessionStore>) {
    let broker = broker::connect("memory:", Duration::from_secs(1)).await.unwrap();
    let _worker = FakeWorker::start(broker.clone(), Box::new(move |_, _| says())).await;
    let inner = memory_store(config).await;
    let hiccups = Arc::new(Hiccups { store: inner.clone(), loss, left: AtomicU32::new(0) });
    let store: Arc<dyn SessionStore> = hiccups.clone();
    let registry = node("node-1", &broker, &store, config).await;
    let session = registry.create(&tenant()).await.unwrap().id;
    hiccups.left.store(count, Ordering::Release);
    (registry, session, inner)
}

#[tokio::test]
async fn an_answer_outlasts_a_store_that_does_not_answer_for_a_moment() {
    for (loss, count) in [(Loss::Request, 1), (Loss::Answer, 1), (Loss::Request, 3), (Loss::Answer, 3)] {
        let (registry, session, _) = start(&Config::default(), loss, count).await;
        let stream = registry.submit(&tenant(), &session, message("How?", None)).await.unwrap();
        assert_eq!(finished(&collect(stream).await).0, "Yes.");
        let again = registry.submit(&tenant(), &session, message("And now?", None)).await.unwrap();
        finished(&collect(again).await);
        assert_eq!(registry.view(&tenant(), &session).await.unwrap().messages.len(), 4);
    }
}

#[tokio::test]
async fn a_store_that_stays_away_fails_the_turn_at_its_deadline() {
    let config = Config { turn_deadline_ms: 500, ..Config::default() };
    let (registry, session, _) = start(&config, Loss::Request, u32::MAX).await;
    let stream = registry.submit(&tenant(), &session, message("How?", None)).await.unwrap();
    let code = failed(&collect(stream).await);
    assert!(matches!(code, ErrorCode::Unavailable | ErrorCode::DeadlineExceeded), "{code:?}");
}

#[tokio::test]
async fn a_turn_that_fails_while_the_store_is_asked_shows_all_before_its_end_in_order() {
    let says = || vec![Step::Say("one "), Step::Say("two "), Step::Say("three "), Step::AwaitCancel];
    let config = Config { turn_deadline_ms: 500, ..Config::default() };
    let (registry, session, _) = start_saying(&config, Loss::Request, u32::MAX, says).await;
    let stream = registry.submit(&tenant(), &session, message("How?", None)).await.unwrap();
    let events = collect(stream).await;
    failed(&events);
    assert!("one two three ".starts_with(&text_of(&events)), "{events:?}");
    let seqs: Vec<u64> = events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (0..events.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_turn_in_doubt_that_another_node_has_taken_goes_on_there() {
    let (registry, session, store) = start(&Config::default(), Loss::Request, 2).await;
    let mut stream = registry.submit(&tenant(), &session, message("How?", None)).await.unwrap();
    let key = SessionKey::new(&tenant(), &session);
    let (thief, owner) = ["thief", "node-1"].map(|name| Member::new(protocol::NodeId::parse(name).unwrap())).into();
    store.join(&thief, Duration::from_secs(60)).await.unwrap();
    let claimed = store.claim(&key, &thief, Some(&owner)).await.unwrap();
    assert!(matches!(claimed, Some(Claim::Owned(record)) if record.open.len() == 1));
    let mut last = None;
    while let Some((_, event)) = stream.next().await {
        last = Some(event);
    }
    assert!(!last.as_ref().is_some_and(TurnEvent::is_last), "moved, neither finished nor failed: {last:?}");
}
