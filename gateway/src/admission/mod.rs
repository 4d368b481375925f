//! May this tenant have one more request, one more turn? Refused early and with the time to wait, never queued.
//!
//! Limits hold over all nodes that share a store of quotas (`gateway.limits_store`). A request normally takes from what its
//! node holds already and costs no round trip ([`account`], [`slots`], which also say by how much nodes may err); what
//! was used is settled afterwards ([`permit`], [`keeper`]). [`store`] says what happens while the store is lost.

mod account;
mod keeper;
mod local;
mod meter;
mod permit;
mod quotas;
mod redis;
mod slots;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use permit::{Permit, Reserve};

use crate::{Config, Tenants, error::Refusal};
use keeper::Keeper;
use meter::{Meter, Name};
use protocol::{ErrorCode, Failure, TenantId};
use runtime::{Context, metric};
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::Store;
use tokio::{runtime::Handle, task::AbortHandle};
use tokio_util::sync::CancellationToken;

/// Every tenant's quota as this node sees it; cheap to clone, bounded by the number of tenants.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Open>);

struct Open {
    desk: Arc<Desk>,
    /// Cancelled once no turn may begin.
    stop: CancellationToken,
    background: Vec<AbortHandle>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.background.iter().for_each(AbortHandle::abort);
    }
}

/// What permits share.
struct Desk {
    store: Store,
    /// This node's name among those that share the store; new with each start.
    node: String,
    meters: HashMap<TenantId, Arc<Meter>>,
    keeper: Keeper,
    /// Turns whose reader left are settled here, not on the thread that served the reader.
    handle: Handle,
    /// No turn takes longer.
    longest: Duration,
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refused {
    /// The quota is used up; after so many milliseconds there may be room.
    Wait(u64),
    /// Nobody knows, and so nobody passes.
    Closed,
}

impl From<quotas::Lost> for Refused {
    fn from(_: quotas::Lost) -> Self {
        Self::Closed
    }
}

impl Admission {
    /// Opens the store of quotas, and looks after it until the last clone is dropped.
    pub(crate) async fn open(config: &Config, session: &actors::Config, tenants: &Tenants, context: &Context) -> Self {
        let clock = context.clock.clone();
        let store = match config.limits_url(&session.store) {
            Some(url) => Store::shared(url, config.limits_on_loss, clock).await,
            None => Store::local(clock),
        };
        let node = format!("gw_{}", context.random.uuid().simple());
        let longest = Duration::from_millis(session.turn_deadline_ms.saturating_add(session.abandon_grace_ms));
        let desk = Arc::new(Desk::new(store, node, tenants, longest));
        let keep = tokio::spawn(Keeper::run(desk.clone()));
        let watched = desk.clone();
        let watch = tokio::spawn(async move { watched.store.watch().await });
        Self(Arc::new(Open {
            desk,
            stop: context.stop.clone(),
            background: vec![keep.abort_handle(), watch.abort_handle()],
        }))
    }

    /// Counts one request of `tenant`.
    pub(crate) async fn request(&self, tenant: &TenantId) -> Result<(), Refusal> {
        let (desk, meter) = (&self.0.desk, self.meter(tenant)?);
        let taken = meter.request(&desk.store).await;
        desk.keeper.note(meter);
        taken.map_err(|refused| {
            let limit = meter.limits.requests_per_minute;
            refuse(tenant, refused, |ms| format!("more than {limit} requests per minute; try again in {ms} ms"))
        })
    }

    /// Admits one turn of `tenant`, which runs for as long as the permit lives and takes about `reserve`.
    pub(crate) async fn turn(&self, tenant: &TenantId, reserve: Reserve) -> Result<Permit, Refusal> {
        if self.0.stop.is_cancelled() {
            let why = "this node is shutting down; send it again, another one will answer";
            return Err(behind(tenant, Failure::new(ErrorCode::Unavailable, why)));
        }
        let (desk, meter) = (&self.0.desk, self.meter(tenant)?);
        let slot = meter.turns.take(&desk.store, tenant, &desk.node).await;
        desk.keeper.note(meter);
        slot.map_err(|refused| {
            let limit = meter.limits.concurrent_turns;
            let told = |_| format!("{limit} turns are running already, which is this tenant's limit");
            refuse(tenant, refused, told)
        })?;
        let permit = Permit::new(desk.clone(), meter.clone());
        permit.reserving(reserve).await.map_err(|refused| {
            let limit = meter.limits.tokens_per_minute;
            refuse(tenant, refused, |ms| format!("more than {limit} tokens per minute; try again in {ms} ms"))
        })
    }

    /// Admits the turn that answers the message `name`, which costs nothing where it is repeated while this node counts it.
    pub(crate) async fn message(
        &self,
        tenant: &TenantId,
        name: Option<&Name>,
        reserve: Reserve,
    ) -> Result<Permit, Refusal> {
        let meter = self.meter(tenant)?;
        if name.is_some_and(|name| meter.pays(name)) {
            return Ok(Permit::free());
        }
        self.turn(tenant, reserve).await
    }

    /// What an operator must know of the store of quotas, and whether requests are served nevertheless.
    pub(crate) fn trouble(&self) -> Option<(&'static str, bool)> {
        self.0.desk.store.trouble()
    }

    /// Gives back to other nodes what this one holds and does not use.
    pub(crate) async fn close(&self) {
        let Desk { store, node, meters, .. } = &*self.0.desk;
        for meter in meters.values().filter(|meter| meter.is_busy()) {
            meter.sweep(store, node, true).await;
        }
    }

    fn meter(&self, tenant: &TenantId) -> Result<&Arc<Meter>, Refusal> {
        let meter = self.0.desk.meters.get(tenant);
        meter.ok_or_else(|| crate::error::internal("a tenant without a meter").into())
    }
}

impl Desk {
    fn new(store: Store, node: String, tenants: &Tenants, longest: Duration) -> Self {
        let meter = |tenant: &crate::Tenant| (tenant.id.clone(), Arc::new(Meter::new(&tenant.id, &tenant.limits)));
        let meters = tenants.iter().map(meter).collect();
        Self { store, node, meters, keeper: Keeper::default(), handle: Handle::current(), longest }
    }
}

fn refuse(tenant: &TenantId, refused: Refused, why: impl FnOnce(u64) -> String) -> Refusal {
    match refused {
        Refused::Wait(ms) => {
            count(tenant, ErrorCode::RateLimited);
            Refusal::until(ms, Failure::new(ErrorCode::RateLimited, why(ms)))
        }
        Refused::Closed => {
            let why = "quotas cannot be counted now, and nobody passes uncounted; try again shortly";
            behind(tenant, Failure::new(ErrorCode::Unavailable, why))
        }
    }
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
