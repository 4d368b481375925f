//! Several nodes, one Redis.

use super::one::tenants;
use crate::{
    Config, OnLoss,
    admission::{Admission, Reserve},
    error::Refusal,
};
use protocol::{ErrorCode, TenantId};
use runtime::{Context, Health, clock::System, testing::Redis};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

const SOON: Duration = Duration::from_secs(10);

async fn node(redis: &Redis, limits: Value, limits_on_loss: OnLoss) -> (Admission, TenantId) {
    let (tenants, id) = tenants(limits);
    let broker = runtime::broker::connect("memory:", SOON).await.unwrap();
    let (clock, random, stop) = (Arc::new(System), Arc::new(System), tokio_util::sync::CancellationToken::new());
    let context = Context { broker, clock, random, health: Health::default(), stop };
    let config = Config { limits_on_loss, ..Config::default() };
    let session = actors::Config { store: redis.url(), ..actors::Config::default() };
    (Admission::open(&config, &session, &tenants, &context).await, id)
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is().await {
        assert!(started.elapsed() < SOON, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn passed(node: &Admission, tenant: &TenantId, tries: usize) -> usize {
    let mut all = JoinSet::new();
    for _ in 0..tries {
        let (node, tenant) = (node.clone(), tenant.clone());
        all.spawn(async move { usize::from(node.request(&tenant).await.is_ok()) });
    }
    all.join_all().await.into_iter().sum()
}

#[tokio::test]
async fn two_nodes_share_a_rate_and_never_exceed_it() {
    let redis = Redis::start();
    let limits = json!({"requests_per_minute": 1_200});
    let ((one, a), (other, _)) =
        (node(&redis, limits.clone(), OnLoss::Local).await, node(&redis, limits, OnLoss::Local).await);
    let started = Instant::now();
    let (first, second) = tokio::join!(passed(&one, &a, 1_000), passed(&other, &a, 1_000));
    let gained = started.elapsed().as_secs_f64() * 20.0;
    let total = (first + second) as f64;
    assert!(total <= 1_200.0 + gained, "{first} and {second} passed, {gained} were gained meanwhile");
    assert!(total >= 1_200.0 - 4.0 * 12.0, "{first} and {second}: no more than the slices may lie idle");
    let wait = one.request(&a).await.unwrap_err().retry_after_ms().unwrap();
    assert!((1..=1_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn two_nodes_share_turns_and_one_takes_what_the_other_gave_back() {
    let redis = Redis::start();
    let limits = json!({"concurrent_turns": 3});
    let ((one, a), (other, _)) =
        (node(&redis, limits.clone(), OnLoss::Local).await, node(&redis, limits, OnLoss::Local).await);
    let none = Reserve::default();
    let held = [one.turn(&a, none).await.unwrap(), one.turn(&a, none).await.unwrap()];
    let _third = other.turn(&a, none).await.unwrap();
    for node in [&one, &other] {
        let refusal = node.turn(&a, none).await.err().unwrap();
        assert_eq!(refusal.into_failure().code, ErrorCode::RateLimited);
    }
    drop(held);
    let mut taken = Vec::new();
    until("the other node has both slots", async || {
        taken.extend(other.turn(&a, none).await.ok());
        taken.len() == 2
    })
    .await;
    assert!(one.turn(&a, none).await.is_err());
}

#[tokio::test]
async fn what_a_node_holds_goes_to_others_when_it_closes() {
    let redis = Redis::start();
    let limits = json!({"requests_per_minute": 600, "concurrent_turns": 100});
    let ((one, a), (other, _)) =
        (node(&redis, limits.clone(), OnLoss::Local).await, node(&redis, limits, OnLoss::Local).await);
    one.request(&a).await.unwrap();
    drop(one.turn(&a, Reserve::default()).await.unwrap());
    one.close().await;
    assert_eq!(passed(&other, &a, 599).await, 599);
    let mut turns = Vec::new();
    while let Ok(turn) = other.turn(&a, Reserve::default()).await {
        turns.push(turn);
    }
    assert_eq!(turns.len(), 100);
}

#[tokio::test]
async fn a_lost_store_delays_nobody_and_limits_become_the_nodes_own_until_it_is_back() {
    let mut redis = Redis::start();
    let (node, a) = node(&redis, json!({"requests_per_minute": 100}), OnLoss::Local).await;
    // A slow machine may take so long that a few are gained meanwhile.
    let about = 100..=104;
    assert!(about.contains(&passed(&node, &a, 200).await) && node.trouble().is_none());
    redis.kill();
    let held = node.turn(&a, Reserve::default()).await.unwrap();
    until("the loss is noticed", async || node.trouble().is_some()).await;
    assert!(matches!(node.trouble(), Some((_, true))));
    let started = Instant::now();
    assert!(about.contains(&passed(&node, &a, 200).await), "a bucket of its own");
    assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    redis.start_again();
    until("its return is noticed", async || node.trouble().is_none()).await;
    assert!(about.contains(&passed(&node, &a, 200).await), "it came back empty");
    drop(held);
}

#[tokio::test]
async fn without_the_store_nobody_passes_where_that_is_asked_for() {
    let mut redis = Redis::start();
    let (node, a) = node(&redis, json!({}), OnLoss::Closed).await;
    node.request(&a).await.unwrap();
    redis.kill();
    until("requests are refused", async || node.request(&a).await.is_err()).await;
    let refusal: Refusal = node.turn(&a, Reserve::default()).await.err().unwrap();
    assert!(refusal.retry_after_ms().is_some() && matches!(node.trouble(), Some((_, false))));
    assert_eq!(refusal.into_failure().code, ErrorCode::Unavailable);
    redis.start_again();
    until("requests pass again", async || node.request(&a).await.is_ok()).await;
}

#[tokio::test]
async fn a_store_that_hangs_is_waited_for_once() {
    let redis = Redis::start();
    let (node, a) = node(&redis, json!({"requests_per_minute": 100}), OnLoss::Local).await;
    node.request(&a).await.unwrap();
    let mut admin = runtime::redis::connect(&redis.url(), SOON).await.unwrap();
    let _: () = redis::cmd("CLIENT").arg("PAUSE").arg(2_000).arg("ALL").query_async(&mut admin).await.unwrap();
    let started = Instant::now();
    assert_eq!(passed(&node, &a, 50).await, 50);
    assert!(started.elapsed() < Duration::from_millis(1_000), "{:?}", started.elapsed());
    assert!(node.trouble().is_some());
    until("it answers again", async || node.trouble().is_none()).await;
}
