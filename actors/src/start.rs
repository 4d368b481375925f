//! From configuration to a running registry.

use crate::{
    Config, Profiles, Registry,
    affinity::Affinity,
    breaker::Breakers,
    cache::{Cache, CacheError},
    env::Env,
    gate::Gate,
    lease::Lease,
    load::Load,
    peer::{self, Peers},
    publish::Publisher,
    registry::Inner,
    replies::{Routes, dispatch},
    shard::Shard,
    store::{self, SessionStore},
    tend,
    threads::Threads,
};
use bytes::Bytes;
use protocol::{KnowledgeNews, NodeId, topology};
use runtime::{Context, Health};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// A session store must answer within this time, and is asked this often whether it does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why sessions cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The reply queue could not be declared.
    #[error("session actors: {0}")]
    Broker(#[from] runtime::BrokerError),
    /// The session store cannot be used.
    #[error("session.store = {url}: {error}")]
    Store {
        /// What is configured.
        url: String,
        /// What is wrong with it.
        error: store::StoreError,
    },
    /// The answer cache cannot be used.
    #[error("session.answer_cache = {url}: {error}; \"off\" does without it")]
    Cache {
        /// What is configured.
        url: String,
        /// What is wrong with it.
        error: CacheError,
    },
    /// The actors' threads could not be started.
    #[error("session.arbiters: {0}")]
    Arbiters(String),
}

/// Connects the store, declares the node's reply queue, starts the arbiters and the reply dispatcher.
pub async fn start(config: Config, profiles: Profiles, node: NodeId, context: Context) -> Result<Registry, StartError> {
    let connected = store::connect(&config, context.clock.clone(), PATIENCE).await;
    let store = connected.map_err(|error| StartError::Store { url: without_password(&config.store), error })?;
    start_with(store, config, profiles, node, context).await
}

/// As [`start`], with a store that is connected already.
pub async fn start_with(
    store: Arc<dyn SessionStore>,
    config: Config,
    profiles: Profiles,
    node: NodeId,
    context: Context,
) -> Result<Registry, StartError> {
    let reply_to = topology::replies(&node);
    let replies = context.broker.replies(&reply_to).await?;
    let (peers, incoming) = Peers::start(node.clone(), &context).await?;
    let length = Duration::from_millis(config.lease_ms);
    let lease = Lease::take(store.clone(), context.clock.clone(), node, length).await;
    let lease = lease.map_err(|error| StartError::Store { url: without_password(&config.store), error })?;
    let cache = Cache::start(&config, &context, PATIENCE).await;
    let cache = cache.map_err(|error| StartError::Cache { url: without_password(&config.answer_cache), error })?;
    let news = context.broker.subscribe(topology::KNOWLEDGE).await?;
    let threads = Threads::start(config.arbiters)?;
    let shards = threads.arbiters.iter().cloned().map(Shard::new).collect();
    let routes = Arc::new(Routes::default());
    context.health.ready("sessions");
    let dispatcher = tokio::spawn(dispatch(replies, routes.clone(), context.health.clone()));
    let checker = tokio::spawn(watch_store(store.clone(), context.health.clone()));
    let listener = tokio::spawn(hear(news, cache.clone()));
    let background = Mutex::new([dispatcher, checker, listener].map(|task| task.abort_handle()).into());
    let publisher = Publisher { broker: context.broker.clone(), clock: context.clock.clone(), reply_to };
    let load = Load::new(config.max_sessions);
    let breakers = Breakers::new(&config, context.clock.clone(), context.random.clone());
    let gate = Gate::new(config.publish_window, config.tenant_waiting, context.clock.clone());
    let affinity = Affinity::default();
    let env = Arc::new(Env {
        config,
        profiles,
        context,
        store,
        publisher,
        routes,
        load,
        affinity,
        breakers,
        gate,
        cache,
        lease,
    });
    let inner = Arc::new(Inner { env, shards, threads, peers, background });
    let tasks = [
        tokio::spawn(tend::tend(Arc::downgrade(&inner))),
        tokio::spawn(peer::listen(incoming, Arc::downgrade(&inner))),
    ];
    inner.background.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks.map(|task| task.abort_handle()));
    Ok(Registry(inner))
}

/// Keeps the process's health informed of the store's.
async fn watch_store(store: Arc<dyn SessionStore>, health: Health) {
    loop {
        match store.check().await {
            Ok(()) => health.ready("session store"),
            Err(error) => health.unready("session store", error.to_string()),
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// Tells the cache when a tenant is served from another version of its knowledge.
async fn hear(mut news: mpsc::Receiver<Bytes>, cache: Option<Arc<Cache>>) {
    while let Some(body) = news.recv().await {
        match serde_json::from_slice::<KnowledgeNews>(&body) {
            Ok(news) => cache.iter().for_each(|cache| cache.told(news.clone())),
            Err(error) => tracing::warn!(%error, "news of a tenant's knowledge cannot be read"),
        }
    }
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.to_string(),
    }
}
