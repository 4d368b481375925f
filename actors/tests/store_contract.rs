//! What every session store does, on each of them.

#![expect(clippy::unwrap_used, reason = "tests")]

use actors::{
    Config,
    store::{Claim, Fence, Member, Record, SessionKey, SessionStore, Shown, StoreError, Version, connect},
};
use bytes::Bytes;
use protocol::{JobId, NodeId, SessionId, TenantId};
use runtime::clock::{ManualClock, System};
use std::{sync::Arc, time::Duration};

const LEASE: Duration = Duration::from_secs(60);

fn key(tenant: &str, session: &str) -> SessionKey {
    SessionKey::new(&TenantId::parse(tenant).unwrap(), &SessionId::parse(session).unwrap())
}

fn member(name: &str) -> Member {
    Member::new(NodeId::parse(name).unwrap())
}

fn turn(name: &str) -> JobId {
    JobId::parse(name).unwrap()
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// The session as `by` claims it.
async fn owned(store: &dyn SessionStore, key: &SessionKey, by: &Member, dead: Option<&Member>) -> (Fence, Record) {
    match store.claim(key, by, dead).await.unwrap() {
        Some(Claim::Owned(record)) => (Fence { by: by.clone(), epoch: record.version.epoch }, record),
        other => panic!("{other:?}"),
    }
}

async fn what_is_written_is_read(store: &dyn SessionStore) {
    let (key, a) = (key("t", "written"), member("a"));
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert_eq!(store.claim(&key, &a, None).await.unwrap(), None);
    store.create(&key, Bytes::from_static(b"\x00 bytes as they are \xff")).await.unwrap();
    assert_eq!(store.create(&key, bytes("again")).await, Err(StoreError::Conflict));
    let (fence, record) = owned(store, &key, &a, None).await;
    assert_eq!(
        (record.version, &record.state[..]),
        (Version { epoch: 1, write: 1 }, &b"\x00 bytes as they are \xff"[..])
    );
    store.accept(&key, &fence, &turn("m1"), bytes("one")).await.unwrap();
    store.accept(&key, &fence, &turn("m2"), bytes("two")).await.unwrap();
    store.show(&key, &fence, &turn("m1"), 0, &[bytes("e0"), bytes("e1")]).await.unwrap();
    // The answer was lost, so it is said again, with more.
    store.show(&key, &fence, &turn("m1"), 1, &[bytes("e1"), bytes("e2")]).await.unwrap();
    // A copy of an earlier call comes late, and what nobody saw is taken back.
    store.show(&key, &fence, &turn("m1"), 0, &[bytes("e0"), bytes("e1")]).await.unwrap();
    store.show(&key, &fence, &turn("m1"), 2, &[bytes("x2"), bytes("x3")]).await.unwrap();
    store.show(&key, &fence, &turn("m1"), 2, &[bytes("e2")]).await.unwrap();
    assert_eq!(store.show(&key, &fence, &turn("m1"), 9, &[bytes("e9")]).await, Err(StoreError::Conflict));
    assert_eq!(store.load(&key).await.unwrap().unwrap().open.len(), 2);
    let (fence, record) = owned(store, &key, &a, None).await;
    assert_eq!(record.open, [(turn("m1"), bytes("one")), (turn("m2"), bytes("two"))].into());
    let events = vec![bytes("e0"), bytes("e1"), bytes("e2")];
    assert_eq!(record.shown, Some(Shown { turn: turn("m1"), events }));
    store.save(&key, &fence, 1, bytes("answered"), &turn("m1")).await.unwrap();
    let (fence, record) = owned(store, &key, &a, None).await;
    assert_eq!((record.version.write, &record.state[..], record.shown), (2, &b"answered"[..], None));
    assert_eq!(record.open.len(), 1);
    store.close(&key, &fence, &turn("m2")).await.unwrap();
    assert_eq!(owned(store, &key, &a, None).await.1.open.len(), 0);
}

async fn who_was_overtaken_writes_nothing(store: &dyn SessionStore) {
    let (key, a, b) = (key("t", "overtaken"), member("a"), member("b"));
    store.create(&key, bytes("0")).await.unwrap();
    let (stale, _) = owned(store, &key, &a, None).await;
    store.accept(&key, &stale, &turn("m1"), bytes("one")).await.unwrap();
    assert_eq!(store.claim(&key, &b, None).await.unwrap(), Some(Claim::Held(a.clone())));
    assert_eq!(store.claim(&key, &b, Some(&member("c"))).await.unwrap(), Some(Claim::Held(a.clone())));
    let (fence, record) = owned(store, &key, &b, Some(&a)).await;
    assert_eq!(record.open.len(), 1);
    let refused = Err(StoreError::Conflict);
    assert_eq!(store.accept(&key, &stale, &turn("m2"), bytes("two")).await, refused);
    assert_eq!(store.show(&key, &stale, &turn("m1"), 0, &[bytes("e0")]).await, refused);
    assert_eq!(store.save(&key, &stale, 1, bytes("stale"), &turn("m1")).await, refused);
    assert_eq!(store.close(&key, &stale, &turn("m1")).await, refused);
    store.release(&key, &stale).await.unwrap();
    assert_eq!(store.claim(&key, &a, None).await.unwrap(), Some(Claim::Held(b.clone())));
    store.save(&key, &fence, 1, bytes("1"), &turn("m1")).await.unwrap();
    assert_eq!(store.save(&key, &fence, 1, bytes("twice"), &turn("m1")).await, refused);
    store.release(&key, &fence).await.unwrap();
    assert_eq!(&owned(store, &key, &a, None).await.1.state[..], b"1");
}

async fn of_many_claimers_one_owns(store: &dyn SessionStore) {
    let (key, dead) = (key("t", "race"), member("dead"));
    store.create(&key, bytes("0")).await.unwrap();
    owned(store, &key, &dead, None).await;
    let members: Vec<Member> = (0..20).map(|n| member(&format!("m{n}"))).collect();
    let claims = members.iter().map(|by| store.claim(&key, by, Some(&dead)));
    let claimed = futures_util::future::join_all(claims).await;
    let owners = claimed.iter().filter(|claim| matches!(claim, Ok(Some(Claim::Owned(_))))).count();
    assert_eq!(owners, 1);
}

async fn what_is_deleted_is_gone_and_cannot_be_overwritten(store: &dyn SessionStore) {
    let (key, a) = (key("t", "deleted"), member("a"));
    store.create(&key, bytes("0")).await.unwrap();
    let (fence, _) = owned(store, &key, &a, None).await;
    store.accept(&key, &fence, &turn("m1"), bytes("one")).await.unwrap();
    assert!(store.delete(&key).await.unwrap());
    assert!(!store.delete(&key).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert_eq!(store.save(&key, &fence, 1, bytes("1"), &turn("m1")).await, Err(StoreError::Conflict));
    assert_eq!(store.accept(&key, &fence, &turn("m2"), bytes("two")).await, Err(StoreError::Conflict));
    store.release(&key, &fence).await.unwrap();
    store.create(&key, bytes("new")).await.unwrap();
    assert_eq!(owned(store, &key, &a, None).await.1.open.len(), 0);
}

async fn tenants_do_not_share_sessions(store: &dyn SessionStore) {
    store.create(&key("a", "same"), bytes("of a")).await.unwrap();
    assert_eq!(store.load(&key("b", "same")).await.unwrap(), None);
    assert!(!store.delete(&key("b", "same")).await.unwrap());
    store.create(&key("b", "same"), bytes("of b")).await.unwrap();
    assert_eq!(&store.load(&key("a", "same")).await.unwrap().unwrap().state[..], b"of a");
}

async fn open_messages_of_the_dead_are_found(store: &dyn SessionStore) {
    let (orphan, done, other) = (key("o", "orphan"), key("o", "done"), key("o", "other"));
    let (dying, alive) = (member("dying"), member("alive"));
    store.join(&dying, LEASE).await.unwrap();
    store.join(&alive, LEASE).await.unwrap();
    assert_eq!(store.join(&dying, LEASE).await, Err(StoreError::Conflict));
    for (key, by) in [(&orphan, &dying), (&done, &dying), (&other, &alive)] {
        store.create(key, bytes("0")).await.unwrap();
        let (fence, _) = owned(store, key, by, None).await;
        store.accept(key, &fence, &turn("m1"), bytes("one")).await.unwrap();
        if *key == done {
            store.save(key, &fence, 1, bytes("1"), &turn("m1")).await.unwrap();
        }
    }
    assert_eq!(store.orphans(10).await.unwrap(), []);
    assert!(store.renew(&dying, LEASE).await.unwrap() && store.is_alive(&dying).await.unwrap());
    store.leave(&dying).await.unwrap();
    assert!(!store.is_alive(&dying).await.unwrap() && !store.renew(&dying, LEASE).await.unwrap());
    assert_eq!(store.orphans(10).await.unwrap(), [(dying.clone(), orphan.clone())]);
    let (fence, _) = owned(store, &orphan, &alive, Some(&dying)).await;
    store.adopted(&dying, None, &orphan).await.unwrap();
    assert_eq!(store.orphans(10).await.unwrap(), []);
    store.leave(&alive).await.unwrap();
    let mut found = store.orphans(10).await.unwrap();
    found.sort_by_key(|(_, key)| key.to_string());
    assert_eq!(found, [(alive.clone(), orphan.clone()), (alive.clone(), other)]);
    store.close(&orphan, &fence, &turn("m1")).await.unwrap();
    assert_eq!(store.orphans(10).await.unwrap().len(), 1);
    assert_eq!(store.orphans(0).await.unwrap(), []);
}

async fn open_messages_that_a_member_holds_are_found(store: &dyn SessionStore) {
    let [open, released, answered, elsewhere] =
        ["open", "released", "answered", "elsewhere"].map(|name| key("h", name));
    let (me, other) = (member("me"), member("other"));
    for (key, by) in [(&open, &me), (&released, &me), (&answered, &me), (&elsewhere, &other)] {
        store.create(key, bytes("0")).await.unwrap();
        let (fence, _) = owned(store, key, by, None).await;
        store.accept(key, &fence, &turn("m1"), bytes("one")).await.unwrap();
        if *key == released {
            store.release(key, &fence).await.unwrap();
        } else if *key == answered {
            store.save(key, &fence, 1, bytes("1"), &turn("m1")).await.unwrap();
        }
    }
    assert_eq!(store.held(&me, 0).await.unwrap(), (vec![open.clone()], 0));
    owned(store, &open, &other, Some(&me)).await;
    assert_eq!(store.held(&me, 0).await.unwrap().0, []);
    // One that died and that `me` adopted, without hearing of its own claim.
    owned(store, &elsewhere, &me, Some(&other)).await;
    store.adopted(&other, Some(&me), &elsewhere).await.unwrap();
    assert_eq!(store.held(&me, 0).await.unwrap(), (vec![elsewhere], 0));
}

async fn contract(store: &dyn SessionStore) {
    what_is_written_is_read(store).await;
    who_was_overtaken_writes_nothing(store).await;
    of_many_claimers_one_owns(store).await;
    what_is_deleted_is_gone_and_cannot_be_overwritten(store).await;
    tenants_do_not_share_sessions(store).await;
    open_messages_of_the_dead_are_found(store).await;
    open_messages_that_a_member_holds_are_found(store).await;
}

/// The store forgets a session `retention` after its last save, and a member its lease; `pass` lets time pass.
async fn what_is_not_renewed_expires<F: Future<Output = ()>>(store: &dyn SessionStore, pass: impl Fn(u64) -> F) {
    let (kept, lost, by) = (key("t", "kept"), key("t", "lost"), member("by"));
    let lease = Duration::from_millis(1_000);
    store.join(&by, lease).await.unwrap();
    for key in [&kept, &lost] {
        store.create(key, bytes("a")).await.unwrap();
    }
    pass(700).await;
    let (fence, _) = owned(store, &kept, &by, None).await;
    store.save(&kept, &fence, 1, bytes("b"), &turn("m")).await.unwrap();
    assert!(store.renew(&by, lease).await.unwrap());
    pass(700).await;
    assert!(store.load(&kept).await.unwrap().is_some() && store.is_alive(&by).await.unwrap());
    assert_eq!(store.load(&lost).await.unwrap(), None);
    assert_eq!(store.claim(&lost, &by, None).await.unwrap(), None);
    store.create(&lost, bytes("c")).await.unwrap();
    pass(400).await;
    assert!(!store.is_alive(&by).await.unwrap() && !store.renew(&by, lease).await.unwrap());
    store.join(&by.next_life(), lease).await.unwrap();
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
    what_is_not_renewed_expires(&*store, |ms| {
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
    store.create(&a, bytes("a")).await.unwrap();
    let (fence, _) = owned(&*store, &a, &member("m"), None).await;
    store.save(&a, &fence, 1, bytes("a"), &turn("m1")).await.unwrap();
    assert_eq!(store.create(&b, bytes("b")).await, Err(StoreError::Full));
    store.save(&a, &fence, 2, bytes("a"), &turn("m2")).await.unwrap();
    clock.advance(1_001);
    store.create(&b, bytes("b")).await.unwrap();
}

#[tokio::test]
async fn who_only_creates_sessions_takes_no_room_from_those_with_messages() {
    let config = Config { max_stored: 4, ..config("memory:", 60_000) };
    let store = open(&config).await;
    let (talk, asked) = (key("a", "talk"), key("a", "asked"));
    for key in [&talk, &asked] {
        store.create(key, bytes("created")).await.unwrap();
        let (fence, _) = owned(&*store, key, &member("m"), None).await;
        store.accept(key, &fence, &turn("m1"), bytes("?")).await.unwrap();
        if *key == talk {
            store.save(key, &fence, 1, bytes("answered"), &turn("m1")).await.unwrap();
        }
    }
    let empty: Vec<SessionKey> = (0..10).map(|n| key("b", &format!("empty-{n}"))).collect();
    for key in &empty {
        store.create(key, bytes("created")).await.unwrap();
    }
    let mut kept = Vec::new();
    for key in [&talk, &asked].into_iter().chain(&empty) {
        kept.extend(store.load(key).await.unwrap().map(|_| key.clone()));
    }
    assert_eq!(kept, [talk, asked, empty[8].clone(), empty[9].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    let mut server = runtime::testing::Redis::start();
    contract(&*open(&config(&server.url(), 60_000)).await).await;
    let short = open(&config(&server.url(), 1_000)).await;
    what_is_not_renewed_expires(&*short, |ms| tokio::time::sleep(Duration::from_millis(ms))).await;
    short.check().await.unwrap();
    server.kill();
    assert!(short.check().await.is_err());
    let lost = short.load(&key("t", "kept")).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    server.start_again();
    short.create(&key("t", "back"), bytes("a")).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_told_at_start() {
    let port = runtime::testing::free_port();
    let config = config(&format!("redis://127.0.0.1:{port}/"), 1_000);
    let refused = connect(&config, Arc::new(System), Duration::from_secs(1)).await.err();
    assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{refused:?}");
}
