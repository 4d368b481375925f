//! What one process counts for itself.

use super::quotas::{Bucket, Grant, Hold, Kind, Lost, MINUTE_US, Quotas};
use async_trait::async_trait;
use protocol::TenantId;
use runtime::Clock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The bound is the number of tenants: nobody else's quota is asked for.
pub(crate) struct Local {
    clock: Arc<dyn Clock>,
    counts: Mutex<HashMap<TenantId, Counts>>,
}

#[derive(Default)]
struct Counts {
    levels: HashMap<Kind, Level>,
    /// Slots by node, and until when.
    slots: HashMap<String, (u32, u64)>,
}

#[derive(Clone, Copy)]
struct Level {
    units: f64,
    at_us: u64,
}

impl Local {
    /// Nothing is used yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<TenantId, Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a bucket's level as of now.
    fn change<T>(&self, bucket: Bucket<'_>, change: impl FnOnce(&mut f64, f64) -> T) -> T {
        let (now_us, limit) = (self.clock.now().0.saturating_mul(1_000), bucket.per_minute as f64);
        let mut counts = self.counts();
        let levels = &mut counts.entry(bucket.tenant.clone()).or_default().levels;
        let level = levels.entry(bucket.kind).or_insert(Level { units: limit, at_us: now_us });
        // A clock that was set back refills nothing and locks nobody out.
        let gained = now_us.saturating_sub(level.at_us) as f64 * limit / MINUTE_US;
        *level = Level { units: (level.units + gained).min(limit), at_us: now_us };
        change(&mut level.units, limit)
    }
}

#[async_trait]
impl Quotas for Local {
    async fn take(&self, bucket: Bucket<'_>, need: u64, want: u64) -> Result<Grant, Lost> {
        Ok(self.change(bucket, |level, limit| {
            let missing = need as f64 - *level;
            if missing > 0.0 {
                return Grant::Wait((missing * 60_000.0 / limit).ceil() as u64);
            }
            let given = want.min(level.floor() as u64).max(need);
            *level -= given as f64;
            Grant::Units(given)
        }))
    }

    async fn give(&self, bucket: Bucket<'_>, units: i64) -> Result<(), Lost> {
        self.change(bucket, |level, limit| *level = (*level + units as f64).clamp(-limit, limit));
        Ok(())
    }

    async fn slots(&self, tenant: &TenantId, hold: Hold<'_>) -> Result<u32, Lost> {
        let now = self.clock.now().0;
        let mut counts = self.counts();
        let slots = &mut counts.entry(tenant.clone()).or_default().slots;
        slots.retain(|_, (_, until)| *until > now);
        let others: u32 = slots.iter().filter(|(name, _)| *name != hold.node).map(|(_, (held, _))| held).sum();
        let given = hold.want.min(hold.limit.saturating_sub(others));
        slots.insert(hold.node.to_string(), (given, now.saturating_add(hold.ttl_ms)));
        Ok(given)
    }

    async fn check(&self) -> Result<(), Lost> {
        Ok(())
    }
}
