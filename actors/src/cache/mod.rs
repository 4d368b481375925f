//! The answer cache: the model's answers to questions that were asked before.
//!
//! An answer is given again only where it would be the same: to a question that stands for itself, in the same language, from
//! the same version of the tenant's knowledge, under the same [policy](question), by the same model ([`models`]). Neither
//! the question nor the answer may be about one person ([`personal`]).
//!
//! A turn looks twice. Before it searches, the very same question is found if the node knows which version is served
//! ([`versions`]). After it, the nearest question of the scope is found by its vector, if single words do not tell otherwise
//! ([`guard`]) and its answer rests on documents that were found now, too. What is not there is asked for once: equal
//! questions wait in a [line](line) at each node, and the nodes agree through the store who leads.
//!
//! The cache is never needed. A store that does not answer within some milliseconds is done without, then left alone.

mod draft;
mod entry;
mod flight;
mod guard;
mod line;
mod memory;
mod models;
mod near;
mod patient;
mod personal;
mod question;
mod rates;
mod recall;
mod redis;
mod scope;
#[cfg(test)]
mod simulation;
mod store;
mod versions;

pub use entry::{Entry, Listed, MAX_BYTES};
pub use rates::{Labelled, Rates, rates};
pub use scope::{Hash, Key, Scope, normalise};
pub use store::{AnswerStore, Bounds, CacheError, Place, connect};

pub(crate) use draft::Draft;
pub(crate) use question::Question;
pub(crate) use recall::{Found, Recalled};

use crate::Config;
use flight::Flights;
use models::Models;
use near::Mirror;
use patient::{Patient, Pause};
use protocol::KnowledgeNews;
use runtime::{Clock, Context, Random};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The cache as a node's turns use it.
pub(crate) struct Cache {
    store: Arc<Patient>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    similarity: f32,
    flights: Arc<Flights>,
    mirror: Mutex<Mirror>,
    versions: Mutex<versions::Versions>,
    models: Mutex<Models>,
}

impl Cache {
    /// The cache that `session.answer_cache` names, if any; a server must answer within `patience`.
    pub async fn start(
        config: &Config,
        context: &Context,
        patience: Duration,
    ) -> Result<Option<Arc<Self>>, CacheError> {
        let Some(url) = config.answer_cache_url() else { return Ok(None) };
        let ttl = Duration::from_millis(config.answer_cache_ttl_ms);
        let bounds = Bounds { ttl, entries: config.answer_cache_entries };
        let store = connect(url, bounds, context.clock.clone(), patience).await?;
        let pause: Pause = Arc::new(|time| Box::pin(tokio::time::sleep(time)));
        Ok(Some(Self::new(store, config, context.clock.clone(), context.random.clone(), pause)))
    }

    fn new(
        store: Arc<dyn AnswerStore>,
        config: &Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        pause: Pause,
    ) -> Arc<Self> {
        let patience = Duration::from_millis(config.answer_cache_patience_ms);
        Arc::new(Self {
            store: Arc::new(Patient::new(store, patience, clock.clone(), pause)),
            clock,
            random,
            similarity: config.answer_cache_similarity,
            flights: Flights::new(),
            mirror: Mutex::new(Mirror::new(config.answer_cache_entries, near::MAX_BYTES)),
            versions: Mutex::new(versions::Versions::new(config.answer_cache_version_age_ms)),
            models: Mutex::default(),
        })
    }

    /// A tenant is served from another version from now on.
    pub fn told(&self, news: KnowledgeNews) {
        lock(&self.versions).told(news, self.clock.now());
    }

    /// An engine has begun an answer with `model`.
    pub fn began(&self, model: &str) {
        lock(&self.models).began(model, self.clock.now());
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
