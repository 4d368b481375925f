//! A store that fails for a moment costs no answer.

use crate::support::{FakeWorker, Step, collect, failed, finished, memory_store, message, node, tenant};
use actors::{
    Config, Registry,
    store::{SessionKey, SessionStore, StoreError, Stored, Version},
};
use async_trait::async_trait;
use protocol::{ErrorCode, SessionId};
use runtime::broker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// How a save fails.
#[derive(Clone, Copy)]
enum Loss {
    /// The write does not arrive.
    Request,
    /// The write is done, its answer is lost.
    Answer,
}

/// A store whose next `left` saves fail.
struct Hiccups {
    store: Arc<dyn SessionStore>,
    loss: Loss,
    left: AtomicU32,
}

#[async_trait]
impl SessionStore for Hiccups {
    async fn load(&self, key: &SessionKey) -> Result<Option<Stored>, StoreError> {
        self.store.load(key).await
    }

    async fn save(&self, key: &SessionKey, expected: Version, next: Stored) -> Result<(), StoreError> {
        let fails = self.left.try_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
        if !fails {
            return self.store.save(key, expected, next).await;
        }
        if matches!(self.loss, Loss::Answer) {
            self.store.save(key, expected, next).await?;
        }
        Err(StoreError::Unavailable("a hiccup".into()))
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, StoreError> {
        self.store.delete(key).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
}

/// A node with one session, whose store then fails `count` times.
async fn start(config: &Config, loss: Loss, count: u32) -> (Registry, SessionId, Arc<dyn SessionStore>) {
    let broker = broker::connect("memory:", Duration::from_secs(1)).await.unwrap();
    let _worker = FakeWorker::start(broker.clone(), Box::new(|_, _| vec![Step::Say("Yes.")])).await;
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
    for loss in [Loss::Request, Loss::Answer] {
        let (registry, session, _) = start(&Config::default(), loss, 1).await;
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
    assert_eq!(failed(&collect(stream).await), ErrorCode::Unavailable);
}

#[tokio::test]
async fn a_write_in_doubt_that_another_writer_overtook_is_a_conflict() {
    let (registry, session, store) = start(&Config::default(), Loss::Request, 1).await;
    let stream = registry.submit(&tenant(), &session, message("How?", None)).await.unwrap();
    let key = SessionKey::new(&tenant(), &session);
    let first = store.load(&key).await.unwrap().unwrap();
    let other = Stored { version: first.version.next(), state: first.state };
    store.save(&key, first.version, other).await.unwrap();
    assert_eq!(failed(&collect(stream).await), ErrorCode::Conflict);
}
