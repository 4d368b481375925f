//! May this tenant have one more request, one more turn? Refused early and with the time to wait, never queued.

use crate::{Limits, Tenants, error::Refusal};
use protocol::{ErrorCode, Failure, TenantId, Timestamp};
use runtime::{Clock, metric};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a tenant waits that has its maximum of turns running.
const TURN_BACK_OFF_MS: u64 = 1_000;
const MINUTE_US: u64 = 60_000_000;

/// The right to one running turn; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Every tenant's quota; one per process, bounded by the number of tenants.
pub(crate) struct Admission {
    clock: Arc<dyn Clock>,
    meters: HashMap<TenantId, Meter>,
}

struct Meter {
    limits: Limits,
    bucket: Mutex<Bucket>,
    turns: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(tenants: &Tenants, clock: Arc<dyn Clock>) -> Self {
        let meters = tenants.iter().map(|tenant| (tenant.id.clone(), Meter::new(&tenant.limits))).collect();
        Self { clock, meters }
    }

    /// Counts one request of `tenant`.
    pub(crate) fn request(&self, tenant: &TenantId) -> Result<(), Refusal> {
        let meter = self.meter(tenant)?;
        let taken = meter.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now());
        taken.map_err(|wait_ms| {
            let limit = meter.limits.requests_per_minute;
            refuse(tenant, wait_ms, format!("more than {limit} requests per minute; try again in {wait_ms} ms"))
        })
    }

    /// Admits one turn of `tenant`, which runs for as long as the permit lives.
    pub(crate) fn turn(&self, tenant: &TenantId) -> Result<Permit, Refusal> {
        let meter = self.meter(tenant)?;
        meter.turns.clone().try_acquire_owned().map(Permit).map_err(|_| {
            let limit = meter.limits.concurrent_turns;
            refuse(tenant, TURN_BACK_OFF_MS, format!("{limit} turns are running already, which is this tenant's limit"))
        })
    }

    fn meter(&self, tenant: &TenantId) -> Result<&Meter, Refusal> {
        self.meters.get(tenant).ok_or_else(|| crate::error::internal("a tenant without a meter").into())
    }
}

fn refuse(tenant: &TenantId, wait_ms: u64, message: String) -> Refusal {
    count(tenant, ErrorCode::RateLimited);
    Refusal::until(wait_ms, Failure::new(ErrorCode::RateLimited, message))
}

/// What the system behind the gateway answers to `tenant`, counted where it finds no capacity.
pub(crate) fn behind(tenant: &TenantId, failure: Failure) -> Refusal {
    if matches!(failure.code.status(), 429 | 503) {
        count(tenant, failure.code);
    }
    failure.into()
}

fn count(tenant: &TenantId, code: ErrorCode) {
    metrics::counter!(metric::REFUSED, "tenant" => tenant.to_string(), "code" => code.name()).increment(1);
}

impl Meter {
    fn new(limits: &Limits) -> Self {
        let turns = usize::try_from(limits.concurrent_turns).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            limits: limits.clone(),
            bucket: Mutex::new(Bucket::new(limits.requests_per_minute)),
            turns: Arc::new(Semaphore::new(turns.min(Semaphore::MAX_PERMITS))),
        }
    }
}

/// A token bucket that holds a minute's worth, kept as the instant at which it will be full again: no timer refills it.
struct Bucket {
    token_us: u64,
    full_at_us: u64,
}

impl Bucket {
    fn new(per_minute: u32) -> Self {
        Self { token_us: MINUTE_US / u64::from(per_minute.max(1)), full_at_us: 0 }
    }

    /// Takes a token; the error is the time in milliseconds after which there will be one.
    fn take(&mut self, now: Timestamp) -> Result<(), u64> {
        let now_us = now.0.saturating_mul(1_000);
        // Clamped from above too: a clock that was set back must not lock a tenant out.
        let full_at = self.full_at_us.clamp(now_us, now_us.saturating_add(MINUTE_US)).saturating_add(self.token_us);
        let wait_us = (full_at - now_us).saturating_sub(MINUTE_US);
        if wait_us > 0 {
            return Err(wait_us.div_ceil(1_000));
        }
        self.full_at_us = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyHash, Tenant};
    use runtime::clock::ManualClock;
    use serde_json::json;

    fn admission(requests: u32, turns: u32, clock: &ManualClock) -> (Admission, TenantId) {
        let tenant: Tenant = serde_json::from_value(json!({"id": "a", "key_hashes": [KeyHash::of("k")],
            "limits": {"requests_per_minute": requests, "concurrent_turns": turns}}))
        .unwrap();
        let id = tenant.id.clone();
        (Admission::new(&Tenants::new([tenant]), Arc::new(clock.clone())), id)
    }

    #[test]
    fn after_the_stated_wait_exactly_one_more_request_passes() {
        let clock = ManualClock::at(1_700_000_000_000);
        let (admission, a) = admission(7, 1, &clock);
        (0..7).for_each(|_| admission.request(&a).unwrap());
        let wait = admission.request(&a).unwrap_err().retry_after_ms().unwrap();
        assert!((8_571..=8_572).contains(&wait), "{wait}");
        clock.advance(wait - 1);
        assert_eq!(admission.request(&a).unwrap_err().retry_after_ms(), Some(1));
        clock.advance(1);
        admission.request(&a).unwrap();
        assert!(admission.request(&a).is_err());
    }

    #[test]
    fn a_long_pause_saves_up_no_more_than_a_minute() {
        let clock = ManualClock::at(0);
        let (admission, a) = admission(3, 1, &clock);
        clock.advance(3_600_000);
        (0..3).for_each(|_| admission.request(&a).unwrap());
        assert!(admission.request(&a).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let (later, earlier) = (Timestamp(7_200_000), Timestamp(3_600_000));
        let mut bucket = Bucket::new(1);
        assert_eq!((bucket.take(later), bucket.take(earlier)), (Ok(()), Err(60_000)));
    }

    #[test]
    fn a_dropped_permit_admits_the_next_turn() {
        let (admission, a) = admission(1, 2, &ManualClock::at(0));
        let (first, _second) = (admission.turn(&a).unwrap(), admission.turn(&a).unwrap());
        let refusal = admission.turn(&a).unwrap_err();
        assert_eq!(refusal.into_failure().code, ErrorCode::RateLimited);
        drop(first);
        admission.turn(&a).unwrap();
    }
}
