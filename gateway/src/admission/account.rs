//! One tenant's units of one kind, as one node has them.
//!
//! From a shared store a node takes a slice ahead: a [`SLICES`]th of the minute's worth. What it takes is gone for others, so
//! all nodes together never use more than the limit. The error is on the other side: a node may refuse while another
//! holds units that it does not use, at most two slices of each node, for two sweeps of the keeper (a second) at most. What a
//! node refuses it refuses by itself until the wait that the store named is over.

use super::{
    Refused,
    quotas::{Bucket, Grant, Kind},
    store::Store,
};
use protocol::TenantId;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::{Duration, Instant};

/// A slice is the minute's worth divided by this: 600 ms of a tenant's full rate.
const SLICES: u64 = 100;

/// The units that a node holds.
pub(super) struct Account {
    kind: Kind,
    per_minute: u64,
    held: Mutex<Held>,
    /// One question at a time, so that many requests at once do not take a slice each.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    /// When they were taken, see [`Store::moves`].
    moves: u64,
    /// Negative: what was used beyond and is still to be charged.
    units: i64,
    used: bool,
    /// So many are refused until then.
    refused: Option<(u64, Instant)>,
}

impl Account {
    pub(super) fn new(kind: Kind, per_minute: u64) -> Self {
        Self { kind, per_minute, held: Mutex::default(), gate: tokio::sync::Mutex::default() }
    }

    /// Uses `need` units, or a full bucket where that is less.
    pub(super) async fn take(&self, store: &Store, tenant: &TenantId, need: u64) -> Result<(), Refused> {
        let need = need.min(self.per_minute);
        if let Some(known) = self.held(store).take(need) {
            return known;
        }
        let _one = self.gate.lock().await;
        let units = {
            let mut held = self.held(store);
            if let Some(known) = held.take(need) {
                return known;
            }
            held.units
        };
        let missing = need.saturating_add_signed(units.saturating_neg()).min(self.per_minute);
        match store.take(self.bucket(tenant), missing, missing + self.per_minute / SLICES).await? {
            Grant::Units(units) => {
                let mut held = self.held(store);
                held.units = held.units.saturating_add_unsigned(units).saturating_sub_unsigned(need);
                held.used = true;
                Ok(())
            }
            Grant::Wait(ms) => {
                let until = Instant::now() + Duration::from_millis(ms);
                self.held(store).refused = store.is_remote().then_some((need, until));
                Err(Refused::Wait(ms))
            }
        }
    }

    /// Takes units back; negative: counts what was used beyond.
    pub(super) fn give(&self, store: &Store, units: i64) {
        let mut held = self.held(store);
        held.units = held.units.saturating_add(units);
        held.used = true;
    }

    /// Settles with the store what others should know of; `all`: everything.
    pub(super) async fn sweep(&self, store: &Store, tenant: &TenantId, all: bool) {
        let slice = i64::try_from(self.per_minute / SLICES).unwrap_or(i64::MAX / 2);
        let surplus = {
            let mut held = self.held(store);
            let idle = all || !std::mem::take(&mut held.used);
            let keep = if idle || held.units < 0 { 0 } else { held.units.min(slice.saturating_mul(2)) };
            std::mem::replace(&mut held.units, keep) - keep
        };
        if surplus != 0 && store.give(self.bucket(tenant), surplus).await.is_err() {
            tracing::debug!(%tenant, surplus, "units could not be given back");
        }
    }

    /// Whether a sweep may have something to do.
    pub(super) fn is_busy(&self) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.used || held.units != 0
    }

    fn bucket<'a>(&self, tenant: &'a TenantId) -> Bucket<'a> {
        Bucket { tenant, kind: self.kind, per_minute: self.per_minute }
    }

    fn held(&self, store: &Store) -> MutexGuard<'_, Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let moves = store.moves();
        if held.moves != moves {
            *held = Held { moves, units: held.units.min(0), ..Held::default() };
        }
        held
    }
}

impl Held {
    /// What can be said without asking.
    fn take(&mut self, need: u64) -> Option<Result<(), Refused>> {
        let left = self.units.saturating_sub_unsigned(need);
        if left >= 0 {
            (self.units, self.used) = (left, true);
            return Some(Ok(()));
        }
        let (_, until) = self.refused.filter(|(refused, _)| need >= *refused)?;
        let wait = until.saturating_duration_since(Instant::now());
        (!wait.is_zero())
            .then(|| Err(Refused::Wait(u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX))))
    }
}
