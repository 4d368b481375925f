//! One node that counts for itself, by a clock that the test moves.

use crate::{
    KeyHash, Tenant, Tenants,
    admission::{Admission, Desk, Open, Reserve, store::Store},
};
use protocol::{ErrorCode, TenantId, Usage};
use runtime::clock::ManualClock;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

pub(super) fn tenants(limits: Value) -> (Tenants, TenantId) {
    let tenant: Tenant =
        serde_json::from_value(json!({"id": "a", "key_hashes": [KeyHash::of("k")], "limits": limits})).unwrap();
    let id = tenant.id.clone();
    (Tenants::new([tenant]), id)
}

fn admission(limits: Value, clock: &ManualClock) -> (Admission, TenantId) {
    let (tenants, id) = tenants(limits);
    let desk = Desk::new(Store::local(Arc::new(clock.clone())), "gw_1".into(), &tenants, Duration::from_secs(1));
    let open = Open { desk: Arc::new(desk), stop: CancellationToken::new(), background: Vec::new() };
    (Admission(Arc::new(open)), id)
}

fn tokens(tokens: u32) -> Reserve {
    Reserve(Usage { prompt_tokens: 0, completion_tokens: tokens })
}

#[tokio::test]
async fn after_the_stated_wait_exactly_one_more_request_passes() {
    let clock = ManualClock::at(1_700_000_000_000);
    let (admission, a) = admission(json!({"requests_per_minute": 7}), &clock);
    for _ in 0..7 {
        admission.request(&a).await.unwrap();
    }
    let wait = admission.request(&a).await.unwrap_err().retry_after_ms().unwrap();
    assert!((8_571..=8_572).contains(&wait), "{wait}");
    clock.advance(wait - 1);
    assert_eq!(admission.request(&a).await.unwrap_err().retry_after_ms(), Some(1));
    clock.advance(1);
    admission.request(&a).await.unwrap();
    assert!(admission.request(&a).await.is_err());
}

#[tokio::test]
async fn a_long_pause_saves_up_no_more_than_a_minute() {
    let clock = ManualClock::at(0);
    let (admission, a) = admission(json!({"requests_per_minute": 3}), &clock);
    admission.request(&a).await.unwrap();
    clock.advance(3_600_000);
    for _ in 0..3 {
        admission.request(&a).await.unwrap();
    }
    assert!(admission.request(&a).await.is_err());
}

#[tokio::test]
async fn a_dropped_permit_admits_the_next_turn_and_gives_its_tokens_back() {
    let (admission, a) = admission(json!({"concurrent_turns": 2, "tokens_per_minute": 100}), &ManualClock::at(0));
    let turn = |size| admission.turn(&a, tokens(size));
    let (first, _second) = (turn(90).await.unwrap(), turn(10).await.unwrap());
    let refusal = turn(0).await.err().unwrap();
    assert_eq!((refusal.retry_after_ms(), refusal.into_failure().code), (Some(1_000), ErrorCode::RateLimited));
    drop(first);
    let refusal = turn(91).await.err().unwrap();
    assert_eq!(refusal.retry_after_ms(), Some(600), "the one token that is missing");
    turn(90).await.unwrap();
}

#[tokio::test]
async fn a_turn_larger_than_the_limit_needs_the_whole_bucket_and_no_more() {
    let (admission, a) = admission(json!({"tokens_per_minute": 100}), &ManualClock::at(0));
    let all = admission.turn(&a, tokens(5_000)).await.unwrap();
    assert_eq!(admission.turn(&a, tokens(1)).await.err().unwrap().retry_after_ms(), Some(600));
    drop(all);
    admission.turn(&a, tokens(100)).await.unwrap();
}
