//! Which version each tenant is served from, and its curated answers, looked up again about once a second.

use super::blocking;
use crate::faq_engine::FaqEngine;
use catalog::{Catalog, CatalogError};
use protocol::{Failure, KnowledgeVersion, TenantId, Timestamp};
use runtime::{Clock, metric};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is known for longer than this is looked up again, in milliseconds.
const FRESH_MS: u64 = 1_000;

/// What a tenant is served from.
#[derive(Clone)]
pub(crate) struct State {
    pub version: KnowledgeVersion,
    /// Whose vectors the version holds; empty for version 0.
    pub embedder: String,
    pub faq: Arc<FaqEngine>,
}

struct Entry {
    state: State,
    at: Timestamp,
}

/// What tenants are served from, as far as is known.
pub(crate) struct Served {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    most: usize,
    by_tenant: Mutex<HashMap<TenantId, Entry>>,
}

impl Served {
    /// Remembers at most `most` tenants.
    pub fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, most: usize) -> Self {
        Self { catalog, clock, most, by_tenant: Mutex::default() }
    }

    /// What the tenant is served from. While the catalogue does not answer, what was known last.
    pub async fn of(&self, tenant: &TenantId) -> Result<State, Failure> {
        let known = match self.known(tenant) {
            Known::Fresh(state) => return Ok(state),
            Known::Stale(state) => Some(state),
            Known::Nothing => None,
        };
        match (self.load(tenant, known.as_ref()).await, known) {
            (Ok(state), _) => Ok(self.keep(tenant, state)),
            (Err(error), Some(known)) => {
                tracing::warn!(%tenant, %error, "the catalogue is away; the tenant is served as before");
                Ok(known)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// What is known may have changed.
    pub fn look_again(&self, tenant: &TenantId) {
        if let Some(entry) = self.lock().get_mut(tenant) {
            entry.at = Timestamp(0);
        }
    }

    fn known(&self, tenant: &TenantId) -> Known {
        let now = self.clock.now();
        let mut by_tenant = self.lock();
        let Some(entry) = by_tenant.get_mut(tenant) else { return Known::Nothing };
        if now.ms_from(entry.at) < FRESH_MS {
            return Known::Fresh(entry.state.clone());
        }
        // One looks it up, the others go on with what is known.
        entry.at = now;
        Known::Stale(entry.state.clone())
    }

    async fn load(&self, tenant: &TenantId, known: Option<&State>) -> Result<State, Failure> {
        let versions = self.catalog.versions(tenant).await.map_err(super::catalogued)?;
        let served = versions.into_iter().find(|version| version.served);
        let (version, embedder) = served.map(|info| (info.version, info.embedder)).unwrap_or_default();
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(known.clone());
        }
        let entries = self.entries(tenant, version).await.map_err(super::catalogued)?;
        let of = embedder.clone();
        let faq = blocking(move || Ok(FaqEngine::new(entries, &of))).await?;
        metrics::gauge!(metric::KNOWLEDGE_SERVED, "tenant" => tenant.to_string()).set(version.0 as f64);
        Ok(State { version, embedder, faq: Arc::new(faq) })
    }

    async fn entries(
        &self,
        tenant: &TenantId,
        version: KnowledgeVersion,
    ) -> Result<Vec<catalog::FaqEntry>, CatalogError> {
        if version.0 == 0 { Ok(Vec::new()) } else { self.catalog.faq(tenant, version).await }
    }

    fn keep(&self, tenant: &TenantId, state: State) -> State {
        let now = self.clock.now();
        let mut by_tenant = self.lock();
        if by_tenant.len() >= self.most && !by_tenant.contains_key(tenant) {
            let oldest = by_tenant.iter().min_by_key(|(_, entry)| entry.at).map(|(tenant, _)| tenant.clone());
            oldest.iter().for_each(|tenant| drop(by_tenant.remove(tenant)));
        }
        by_tenant.insert(tenant.clone(), Entry { state: state.clone(), at: now });
        state
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Entry>> {
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Known {
    Fresh(State),
    Stale(State),
    Nothing,
}
