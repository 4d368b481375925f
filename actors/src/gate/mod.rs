//! Fairness among tenants in front of the shared queue, which serves in the order of arrival.
//!
//! A node publishes an inference job only with a [`Ticket`]. While jobs start soon everybody gets one at once; else jobs wait
//! here, in a bounded line for each tenant, and [`line`] says who is next. A ticket is held until its job ends or is given
//! up, whatever becomes of it, so a worker that never says that it has begun blocks nobody for longer than its turn lasts.

mod line;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use line::Claim;

use line::{Line, Place};
use protocol::{ErrorCode, Failure, Priority, TenantId, Timestamp};
use runtime::{Clock, metric};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;
use window::Window;

/// What is known of a tenant's waits is forgotten after this time without a new one.
const MEMORY_MS: u64 = 10_000;

/// The gate of a node.
pub(crate) struct Gate {
    clock: Arc<dyn Clock>,
    tenant_waiting: usize,
    state: Mutex<State>,
}

struct State {
    line: Line<oneshot::Sender<Ticket>>,
    window: Window,
    /// How long tenants' last jobs waited for their start, averaged, and when that was learnt; one for each tenant.
    waits: HashMap<TenantId, (f64, Timestamp)>,
}

/// How a job enters.
pub(crate) enum Entry {
    /// At once.
    Now(Ticket),
    /// When its turn has come.
    Later(Waiting),
}

impl Gate {
    /// `window`: jobs that may await their start in the queue at least, 0: without limit; `tenant_waiting`: jobs of one tenant
    /// that may wait here.
    pub fn new(window: usize, tenant_waiting: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (line, window, waits) = (Line::new(tenant_waiting), Window::new(window), HashMap::new());
        Arc::new(Self { clock, tenant_waiting, state: Mutex::new(State { line, window, waits }) })
    }

    /// Asks for a ticket. [`ErrorCode::Overloaded`] when too many jobs of the tenant wait.
    pub fn enter(self: &Arc<Self>, claim: Claim) -> Result<Entry, Failure> {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.line.len() == 0 && state.window.has_room() {
            state.window.pass();
            drop(state);
            return Ok(Entry::Now(self.ticket(claim.tenant, now, now)));
        }
        let (turn, receiver) = oneshot::channel();
        let (tenant, priority) = (claim.tenant.clone(), claim.priority);
        let id = state.line.push(claim, now, turn).ok_or_else(|| too_many(self.tenant_waiting))?;
        metrics::gauge!(metric::GATE_WAITING).set(state.line.len() as f64);
        Ok(Entry::Later(Waiting { gate: self.clone(), id, tenant, priority, receiver }))
    }

    /// How long, in milliseconds, a job of the tenant would wait for its start, judged by its last ones; 0 when nothing is
    /// known.
    pub fn expected_wait_ms(&self, tenant: &TenantId) -> u64 {
        let now = self.clock.now();
        let state = self.lock();
        let waits = state.line.oldest(tenant).map_or(0, |since| now.ms_from(since));
        let recent = state.waits.get(tenant).filter(|(_, at)| now.ms_from(*at) <= MEMORY_MS);
        waits.max(recent.map_or(0, |(average, _)| *average as u64))
    }

    fn ticket(self: &Arc<Self>, tenant: TenantId, asked: Timestamp, passed: Timestamp) -> Ticket {
        Ticket { gate: self.clone(), tenant, asked, passed, has_started: false }
    }

    /// Lets those pass whose turn it is.
    fn pump(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            let next = if state.window.has_room() { state.line.pop() } else { None };
            let Some(Place { claim, since, item, .. }) = next else { return };
            state.window.pass();
            metrics::gauge!(metric::GATE_WAITING).set(state.line.len() as f64);
            drop(state);
            // Who has left meanwhile drops the ticket, which lets the next one pass.
            drop(item.send(self.ticket(claim.tenant, since, self.clock.now())));
        }
    }

    fn started(self: &Arc<Self>, ticket: &Ticket) {
        let now = self.clock.now();
        let mut state = self.lock();
        let others_wait = state.line.len() > 0;
        state.window.start(now.ms_from(ticket.passed), others_wait);
        let waited = now.ms_from(ticket.asked) as f64;
        let known = state.waits.get(&ticket.tenant).filter(|(_, at)| now.ms_from(*at) <= MEMORY_MS);
        let average = known.map_or(waited, |(average, _)| average + (waited - average) / 4.0);
        state.waits.insert(ticket.tenant.clone(), (average, now));
        drop(state);
        self.pump();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(waiting: usize) -> Failure {
    let message = format!("{waiting} jobs of this tenant are waiting for the model already; try again shortly");
    Failure::new(ErrorCode::Overloaded, message)
}

/// A job's right to be in the queue, and then to run; dropping it lets others pass.
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    tenant: TenantId,
    asked: Timestamp,
    passed: Timestamp,
    has_started: bool,
}

impl Ticket {
    /// A worker has begun the job; told again, nothing happens.
    pub fn started(&mut self) {
        if !std::mem::replace(&mut self.has_started, true) {
            self.gate.started(self);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.lock().window.leave(self.has_started);
        self.gate.pump();
    }
}

/// A place in the line; dropping it gives it up.
pub(crate) struct Waiting {
    gate: Arc<Gate>,
    id: u64,
    tenant: TenantId,
    priority: Priority,
    receiver: oneshot::Receiver<Ticket>,
}

impl Waiting {
    /// Waits for the ticket; `None` only when the gate is gone.
    pub async fn ticket(mut self) -> Option<Ticket> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        let left = state.line.remove(self.id, &self.tenant, self.priority);
        metrics::gauge!(metric::GATE_WAITING).set(state.line.len() as f64);
        drop(state);
        drop(left);
    }
}
