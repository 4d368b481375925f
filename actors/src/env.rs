//! What every session actor of the node shares.

use crate::{
    Config, Profile, Profiles, affinity::Affinity, breaker::Breakers, cache::Cache, gate::Gate, lease::Lease,
    load::Load, publish::Publisher, replies::Routes, store::SessionStore,
};
use protocol::{JobId, TenantId, Timestamp};
use std::sync::Arc;

/// The node's shared parts.
pub(crate) struct Env {
    pub config: Config,
    pub profiles: Profiles,
    pub context: runtime::Context,
    pub store: Arc<dyn SessionStore>,
    pub publisher: Publisher,
    pub routes: Arc<Routes>,
    pub load: Arc<Load>,
    pub affinity: Affinity,
    pub breakers: Arc<Breakers>,
    pub lease: Lease,
    pub gate: Arc<Gate>,
    /// `None`: answers are not kept.
    pub cache: Option<Arc<Cache>>,
}

impl Env {
    pub fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    pub fn new_job(&self) -> JobId {
        JobId::from_uuid(self.context.random.uuid())
    }

    pub fn profile(&self, tenant: &TenantId) -> Profile {
        self.profiles.get(tenant).cloned().unwrap_or_default()
    }
}
