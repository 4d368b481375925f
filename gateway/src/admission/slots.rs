//! One tenant's turns that run, as one node has them.
//!
//! A node holds slots and renews them; those of a node that died are free after [`TTL_MS`]. It asks for a few more than
//! it uses ([`SPARES`]) and gives back what is more than twice that, so another node may be refused for the sake of at most
//! that many idle slots of each node. A node that was paused for longer than its slots lived may run what it had begun
//! beside what others began meanwhile.

use super::{Refused, quotas::Hold, store::Store};
use protocol::TenantId;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::{Duration, Instant};

/// Slots of a node that has not renewed them for so many milliseconds are free for others.
const TTL_MS: u64 = 6_000;
/// Idle slots that a node asks for: the limit divided by this.
const SPARES: u32 = 50;
/// A refusal is repeated for this time without asking again.
const REPEAT: Duration = Duration::from_millis(50);
const RENEW: Duration = Duration::from_millis(TTL_MS / 3);
/// The wait of a tenant of whose turns none has ended yet.
const UNKNOWN_WAIT_MS: u64 = 1_000;
const WAIT_MS: std::ops::RangeInclusive<u64> = 100..=30_000;

/// The slots that a node holds and uses.
pub(super) struct Slots {
    limit: u32,
    state: Mutex<State>,
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    moves: u64,
    running: u32,
    held: u32,
    renewed: Option<Instant>,
    refused: Option<Instant>,
    /// A moving mean of how long turns ran.
    mean: Option<Duration>,
}

impl Slots {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, state: Mutex::default(), gate: tokio::sync::Mutex::default() }
    }

    /// One more turn runs until [`Slots::free`].
    pub(super) async fn take(&self, store: &Store, tenant: &TenantId, node: &str) -> Result<(), Refused> {
        if self.state(store).enter() {
            return Ok(());
        }
        let _one = self.gate.lock().await;
        let want = {
            let mut state = self.state(store);
            if state.enter() {
                return Ok(());
            }
            if state.refused.is_some_and(|since| since.elapsed() < REPEAT) {
                return Err(Refused::Wait(self.wait_ms(&state)));
            }
            state.running + 1 + self.limit / SPARES
        };
        self.ask(store, tenant, node, want).await?;
        let mut state = self.state(store);
        if state.enter() {
            return Ok(());
        }
        state.refused = store.is_remote().then(Instant::now);
        Err(Refused::Wait(self.wait_ms(&state)))
    }

    /// A turn ended that ran for `ran`; tells whether the node now holds slots that others may want.
    pub(super) fn free(&self, store: &Store, ran: Duration) -> bool {
        let mut state = self.state(store);
        state.running = state.running.saturating_sub(1);
        state.mean = Some(state.mean.map_or(ran, |mean| (mean * 7 + ran) / 8));
        state.held > state.running + 2 * (self.limit / SPARES)
    }

    /// Renews what is used, gives back what is not.
    pub(super) async fn sweep(&self, store: &Store, tenant: &TenantId, node: &str, all: bool) {
        let _one = self.gate.lock().await;
        let want = {
            let mut state = self.state(store);
            let spare = if all || state.running == 0 { 0 } else { self.limit / SPARES };
            let too_many = state.held > state.running + 2 * spare;
            let fresh = state.renewed.is_some_and(|since| since.elapsed() < RENEW);
            if !too_many && (state.held == 0 && state.running == 0 || fresh && state.held >= state.running) {
                return;
            }
            // Lowered before others hear of it: no turn begins on a slot that is being given back.
            state.held = state.held.min(state.running + spare);
            state.held.max(state.running)
        };
        if self.ask(store, tenant, node, want).await.is_err() {
            tracing::debug!(%tenant, want, "slots could not be renewed");
        }
    }

    /// Whether a sweep may have something to do.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held > 0 || state.running > 0
    }

    async fn ask(&self, store: &Store, tenant: &TenantId, node: &str, want: u32) -> Result<(), Refused> {
        let hold = Hold { node, limit: self.limit, want, ttl_ms: TTL_MS };
        let held = store.slots(tenant, hold).await?;
        let mut state = self.state(store);
        (state.held, state.renewed) = (held, Some(Instant::now()));
        Ok(())
    }

    /// Turns end one after another, so the next one does after a share of their mean time.
    fn wait_ms(&self, state: &State) -> u64 {
        let Some(mean) = state.mean else { return UNKNOWN_WAIT_MS };
        let share = u64::try_from(mean.as_millis()).unwrap_or(u64::MAX) / u64::from(self.limit.max(1));
        share.clamp(*WAIT_MS.start(), *WAIT_MS.end())
    }

    fn state(&self, store: &Store) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let moves = store.moves();
        if state.moves != moves {
            (state.moves, state.held, state.renewed, state.refused) = (moves, 0, None, None);
        }
        state
    }
}

impl State {
    fn enter(&mut self) -> bool {
        let free = self.running < self.held;
        self.running += u32::from(free);
        free
    }
}
