//! What every session store does, on each of them.

#![expect(clippy::unwrap_used, reason = "tests")]

use actors::{
    Config,
    store::{SessionKey, SessionStore, StoreError, Stored, Version, connect},
};
use bytes::Bytes;
use protocol::{SessionId, TenantId};
use runtime::clock::{ManualClock, System};
use std::{sync::Arc, time::Duration};

const FIRST: Version = Version { epoch: 0, write: 1 };

fn key(tenant: &str, session: &str) -> SessionKey {
    SessionKey::new(&TenantId::parse(tenant).unwrap(), &SessionId::parse(session).unwrap())
}

fn stored(version: Version, state: &'static [u8]) -> Stored {
    Stored { version, state: Bytes::from_static(state) }
}

async fn what_is_saved_is_loaded(store: &dyn SessionStore) {
    let key = key("t", "saved");
    assert_eq!(store.load(&key).await.unwrap(), None);
    let state = stored(FIRST, b"\x00 bytes as they are \xff");
    store.save(&key, Version::default(), state.clone()).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), Some(state));
}

async fn a_writer_that_was_overtaken_is_refused(store: &dyn SessionStore) {
    let key = key("t", "versions");
    let none = Version::default();
    store.save(&key, none, stored(FIRST, b"a")).await.unwrap();
    assert_eq!(store.save(&key, none, stored(FIRST, b"b")).await, Err(StoreError::Conflict));
    store.save(&key, FIRST, stored(FIRST.next(), b"c")).await.unwrap();
    assert_eq!(store.save(&key, FIRST, stored(FIRST.next(), b"d")).await, Err(StoreError::Conflict));
    let owned = Version { epoch: 7, write: 3 };
    store.save(&key, FIRST.next(), stored(owned, b"e")).await.unwrap();
    let same_write_of_an_older_epoch = Version { epoch: 0, write: 3 };
    let refused = store.save(&key, same_write_of_an_older_epoch, stored(owned.next(), b"f")).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(store.load(&key).await.unwrap(), Some(stored(owned, b"e")));
}

async fn of_many_writers_exactly_one_wins(store: &dyn SessionStore) {
    let key = key("t", "race");
    let save = |_| store.save(&key, Version::default(), stored(FIRST, b"x"));
    let results = futures_util::future::join_all((0..20).map(save)).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

async fn what_is_deleted_is_gone_and_cannot_be_overwritten(store: &dyn SessionStore) {
    let key = key("t", "deleted");
    store.save(&key, Version::default(), stored(FIRST, b"a")).await.unwrap();
    assert!(store.delete(&key).await.unwrap());
    assert!(!store.delete(&key).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert_eq!(store.save(&key, FIRST, stored(FIRST.next(), b"b")).await, Err(StoreError::Conflict));
    store.save(&key, Version::default(), stored(FIRST, b"c")).await.unwrap();
}

async fn tenants_do_not_share_sessions(store: &dyn SessionStore) {
    store.save(&key("a", "same"), Version::default(), stored(FIRST, b"of a")).await.unwrap();
    assert_eq!(store.load(&key("b", "same")).await.unwrap(), None);
    assert!(!store.delete(&key("b", "same")).await.unwrap());
    store.save(&key("b", "same"), Version::default(), stored(FIRST, b"of b")).await.unwrap();
    assert_eq!(store.load(&key("a", "same")).await.unwrap(), Some(stored(FIRST, b"of a")));
}

async fn contract(store: &dyn SessionStore) {
    what_is_saved_is_loaded(store).await;
    a_writer_that_was_overtaken_is_refused(store).await;
    of_many_writers_exactly_one_wins(store).await;
    what_is_deleted_is_gone_and_cannot_be_overwritten(store).await;
    tenants_do_not_share_sessions(store).await;
}

/// The store forgets a session `retention` after its last write; `pass` lets time pass.
async fn what_is_not_written_again_expires<F: Future<Output = ()>>(store: &dyn SessionStore, pass: impl Fn(u64) -> F) {
    let (kept, lost) = (key("t", "kept"), key("t", "lost"));
    for key in [&kept, &lost] {
        store.save(key, Version::default(), stored(FIRST, b"a")).await.unwrap();
    }
    pass(700).await;
    store.save(&kept, FIRST, stored(FIRST.next(), b"b")).await.unwrap();
    pass(700).await;
    assert!(store.load(&kept).await.unwrap().is_some());
    assert_eq!(store.load(&lost).await.unwrap(), None);
    store.save(&lost, Version::default(), stored(FIRST, b"c")).await.unwrap();
}

fn config(store: &str, retention_ms: u64) -> Config {
    Config { store: store.into(), retention_ms, max_stored: 100, ..Config::default() }
}

async fn open(config: &Config) -> Arc<dyn SessionStore> {
    connect(config, Arc::new(System), Duration::from_secs(2)).await.unwrap()
}

#[tokio::test]
async fn memory() {
    contract(&*open(&config("memory:", 60_000)).await).await;
    let clock = ManualClock::default();
    let store = connect(&config("memory:", 1_000), Arc::new(clock.clone()), Duration::ZERO).await.unwrap();
    what_is_not_written_again_expires(&*store, |ms| {
        clock.advance(ms);
        std::future::ready(())
    })
    .await;
}

#[tokio::test]
async fn memory_full_of_messages_refuses_new_sessions_until_old_ones_expire() {
    let clock = ManualClock::default();
    let config = Config { max_stored: 1, ..config("memory:", 1_000) };
    let store = connect(&config, Arc::new(clock.clone()), Duration::ZERO).await.unwrap();
    let (a, b) = (key("t", "a"), key("t", "b"));
    store.save(&a, Version::default(), stored(FIRST, b"a")).await.unwrap();
    store.save(&a, FIRST, stored(FIRST.next(), b"a")).await.unwrap();
    assert_eq!(store.save(&b, Version::default(), stored(FIRST, b"b")).await, Err(StoreError::Full));
    store.save(&a, FIRST.next(), stored(FIRST.next().next(), b"a")).await.unwrap();
    clock.advance(1_001);
    store.save(&b, Version::default(), stored(FIRST, b"b")).await.unwrap();
}

#[tokio::test]
async fn who_only_creates_sessions_takes_no_room_from_those_with_messages() {
    let config = Config { max_stored: 3, ..config("memory:", 60_000) };
    let store = open(&config).await;
    let talk = key("a", "talk");
    store.save(&talk, Version::default(), stored(FIRST, b"created")).await.unwrap();
    store.save(&talk, FIRST, stored(FIRST.next(), b"answered")).await.unwrap();
    let empty: Vec<SessionKey> = (0..10).map(|n| key("b", &format!("empty-{n}"))).collect();
    for key in &empty {
        store.save(key, Version::default(), stored(FIRST, b"created")).await.unwrap();
    }
    let mut kept = Vec::new();
    for key in [&talk].into_iter().chain(&empty) {
        kept.extend(store.load(key).await.unwrap().map(|_| key.clone()));
    }
    assert_eq!(kept, [talk, empty[8].clone(), empty[9].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    let mut server = runtime::testing::Redis::start();
    contract(&*open(&config(&server.url(), 60_000)).await).await;
    let short = open(&config(&server.url(), 1_000)).await;
    what_is_not_written_again_expires(&*short, |ms| tokio::time::sleep(Duration::from_millis(ms))).await;
    short.check().await.unwrap();
    server.kill();
    assert!(short.check().await.is_err());
    let lost = short.load(&key("t", "kept")).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    server.start_again();
    short.save(&key("t", "back"), Version::default(), stored(FIRST, b"a")).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_told_at_start() {
    let port = runtime::testing::free_port();
    let config = config(&format!("redis://127.0.0.1:{port}/"), 1_000);
    let refused = connect(&config, Arc::new(System), Duration::from_secs(1)).await.err();
    assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{refused:?}");
}
