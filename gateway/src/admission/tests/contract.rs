//! What every store of quotas must do.

use crate::admission::{
    local::Local,
    quotas::{Bucket, Grant, Hold, Kind, Quotas},
    redis::Shared,
};
use protocol::TenantId;
use runtime::{clock::ManualClock, testing::Redis};
use std::{sync::Arc, time::Duration};

const PATIENCE: Duration = Duration::from_secs(5);
const TTL_MS: u64 = 300;

fn bucket(tenant: &TenantId, kind: Kind) -> Bucket<'_> {
    Bucket { tenant, kind, per_minute: 60 }
}

async fn units(one: &dyn Quotas, other: &dyn Quotas, tenant: &TenantId, elsewhere: &TenantId) {
    let requests = bucket(tenant, Kind::Requests);
    assert_eq!(one.take(requests, 1, 40).await, Ok(Grant::Units(40)));
    assert_eq!(other.take(requests, 10, 40).await, Ok(Grant::Units(20)), "as many as are left");
    let wait = |grant| if let Ok(Grant::Wait(ms)) = grant { ms } else { panic!("{grant:?}") };
    let first = wait(one.take(requests, 30, 30).await);
    assert!((29_000..=30_000).contains(&first), "{first}");
    assert_eq!(one.take(bucket(tenant, Kind::Tokens), 60, 60).await, Ok(Grant::Units(60)), "another kind");
    assert_eq!(one.take(bucket(elsewhere, Kind::Requests), 60, 60).await, Ok(Grant::Units(60)), "another tenant");

    other.give(requests, 30).await.unwrap();
    assert_eq!(one.take(requests, 30, 30).await, Ok(Grant::Units(30)), "what another gave back");
    one.give(requests, -10).await.unwrap();
    let indebted = wait(other.take(requests, 1, 1).await);
    assert!((10_000..=11_000).contains(&indebted), "{indebted}");
    one.give(requests, -1_000_000).await.unwrap();
    let most = wait(other.take(requests, 1, 1).await);
    assert!((60_000..=61_000).contains(&most), "a debt of a minute at most: {most}");
    one.give(requests, 1_000_000).await.unwrap();
    assert_eq!(one.take(requests, 1, 1_000_000).await, Ok(Grant::Units(60)), "no more than a minute's worth");
}

async fn slots(one: &dyn Quotas, other: &dyn Quotas, tenant: &TenantId, pass: impl AsyncFn(u64)) {
    let hold = |node, want| Hold { node, limit: 5, want, ttl_ms: TTL_MS };
    assert_eq!(one.slots(tenant, hold("a", 3)).await, Ok(3));
    assert_eq!(other.slots(tenant, hold("b", 4)).await, Ok(2));
    assert_eq!(one.slots(tenant, hold("a", 1)).await, Ok(1), "given back");
    pass(TTL_MS / 2).await;
    assert_eq!(other.slots(tenant, hold("b", 9)).await, Ok(4), "renewed");
    pass(TTL_MS * 3 / 4).await;
    assert_eq!(one.slots(tenant, hold("c", 9)).await, Ok(1), "a died, b renewed");
    assert_eq!(other.slots(tenant, hold("b", 0)).await, Ok(0));
    assert_eq!(one.slots(tenant, hold("c", 9)).await, Ok(5));
}

#[tokio::test]
async fn in_process() {
    let clock = ManualClock::at(1_700_000_000_000);
    let store = Local::new(Arc::new(clock.clone()));
    let [a, b] = ["a", "b"].map(|id| TenantId::parse(id).unwrap());
    units(&store, &store, &a, &b).await;
    slots(&store, &store, &a, async |ms| clock.advance(ms)).await;
}

#[tokio::test]
async fn in_redis() {
    let redis = Redis::start();
    let one = Shared::connect(&redis.url(), PATIENCE).await.unwrap();
    let other = Shared::connect(&redis.url(), PATIENCE).await.unwrap();
    let [a, b] = ["a", "b"].map(|id| TenantId::parse(id).unwrap());
    units(&one, &other, &a, &b).await;
    slots(&one, &other, &a, async |ms| tokio::time::sleep(Duration::from_millis(ms)).await).await;
}
