//! What each role starts, and how it ends.

use crate::{config::Config, demo};
use anyhow::Context as _;
use protocol::{NodeId, WorkerId};
use runtime::{Clock, Context, Health, Random, clock::System};
use std::{
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_retrieval::read::Sandbox;

type Roles = JoinSet<anyhow::Result<()>>;

/// What a process may take beyond its drain, to hand back what it could not finish.
const LAST: Duration = Duration::from_secs(5);

/// The time that everything together may take to end, from the stop signal on.
#[derive(Clone)]
struct Drain {
    grace: Duration,
    told: Arc<OnceLock<Instant>>,
}

impl Drain {
    fn new(grace: Duration, stop: CancellationToken) -> Self {
        let drain = Self { grace, told: Arc::default() };
        let told = drain.told.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            let _ = told.set(Instant::now());
        });
        drain
    }

    fn left(&self) -> Duration {
        self.grace.saturating_sub(self.told.get().map(Instant::elapsed).unwrap_or_default())
    }
}

/// Everything in one process. At the end the gateway finishes its turns before the workers stop.
pub async fn all(mut config: Config, demo: Option<PathBuf>) -> anyhow::Result<()> {
    if config.gateway.model.is_empty() {
        config.gateway.model = config.inference.model_name()?;
    }
    let (listener, outer) = (bind(&config)?, connect(&config).await?);
    let workers = Context { stop: CancellationToken::new(), ..outer.clone() };
    let mut roles = Roles::new();
    roles.spawn(retrieve(config.clone(), workers.clone()));
    roles.spawn(generate(config.clone(), workers.clone()));
    let registry = registry(&config, &outer).await?;
    let drain = drain(&config, &outer);
    let edge = serve(config.clone(), listener, registry.clone(), outer.clone(), drain.clone());
    let loading = tokio::spawn(demo::load(config, demo, registry, outer.clone()));
    let ended = tokio::select! {
        ended = edge => ended,
        Some(ended) = roles.join_next() => ended.context("a worker panicked")?.and_then(|()| anyhow::bail!("a worker ended early")),
    };
    loading.abort();
    outer.stop.cancel();
    workers.stop.cancel();
    match tokio::time::timeout(drain.left() + LAST, finish(roles)).await {
        Ok(finished) => finished.and(ended),
        Err(_) => {
            tracing::warn!("the workers did not end in time");
            ended
        }
    }
}

/// HTTP interface and session actors.
pub async fn gateway(config: Config, demo: Option<PathBuf>) -> anyhow::Result<()> {
    let (listener, context) = (bind(&config)?, connect(&config).await?);
    let registry = registry(&config, &context).await?;
    let loading = tokio::spawn(demo::load(config.clone(), demo, registry.clone(), context.clone()));
    let drain = drain(&config, &context);
    let ended = serve(config, listener, registry, context, drain).await;
    loading.abort();
    ended
}

/// Answers inference jobs.
pub async fn worker_gpu(config: Config) -> anyhow::Result<()> {
    let (listener, context) = (bind(&config)?, connect(&config).await?);
    worker(listener, context.clone(), generate(config, context)).await
}

/// Answers retrieval and document jobs.
pub async fn worker_retrieval(config: Config) -> anyhow::Result<()> {
    let (listener, context) = (bind(&config)?, connect(&config).await?);
    worker(listener, context.clone(), retrieve(config, context)).await
}

/// Runs a worker's role and, until it ends, its health endpoints.
async fn worker(
    listener: TcpListener,
    context: Context,
    role: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let over = CancellationToken::new();
    let ops = gateway::run_ops(listener, metrics()?, Context { stop: over.clone(), ..context });
    let role = async {
        let _over = over.drop_guard();
        role.await
    };
    let (ended, served) = tokio::join!(role, ops);
    ended.and(served.context("serving health"))
}

async fn generate(config: Config, context: Context) -> anyhow::Result<()> {
    context.health.unready("worker-gpu", "loading the model");
    let (settings, models) = (config.inference.clone(), config.models_dir.clone());
    let engines = tokio::task::spawn_blocking(move || worker_gpu::open_all(&settings, &models))
        .await
        .context("loading the model panicked")??;
    context.health.ready("worker-gpu");
    let worker = WorkerId::from_uuid(context.random.uuid());
    Ok(worker_gpu::run(config.inference, engines, worker, context).await?)
}

async fn retrieve(config: Config, context: Context) -> anyhow::Result<()> {
    context.health.unready("worker-retrieval", "loading the embedder and the index");
    let (clock, stores) = (context.clock.clone(), stores(&config, Some(context.broker.clone())).await?);
    let retrieval = tokio::task::spawn_blocking(move || open_retrieval(&config, stores, clock))
        .await
        .context("loading the embedder panicked")??;
    context.health.ready("worker-retrieval");
    Ok(Arc::new(retrieval).run(context).await?)
}

/// Opens the index and the embedder that `config` names.
pub fn open_retrieval(
    config: &Config,
    stores: worker_retrieval::Stores,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<worker_retrieval::Retrieval> {
    let dirs = worker_retrieval::Dirs {
        data: config.data_dir.clone(),
        models: config.models_dir.clone(),
        reader: Sandbox::this_program()?,
    };
    Ok(worker_retrieval::Retrieval::open(&config.retrieval, &dirs, stores, clock)?)
}

/// Connects to the catalogue and the archive that `config` names.
pub async fn stores(
    config: &Config,
    news: Option<Arc<dyn runtime::Broker>>,
) -> anyhow::Result<worker_retrieval::Stores> {
    let catalog = catalog::connect(&config.catalog.url, &config.data_dir).await.context("catalog.url")?;
    Ok(worker_retrieval::Stores { catalog, archive: archive(config)?, news })
}

/// Connects to the archive that `config` names.
pub fn archive(config: &Config) -> anyhow::Result<Arc<dyn catalog::Archive>> {
    catalog::connect_archive(&config.archive.url, &config.data_dir).context("archive.url")
}

async fn registry(config: &Config, context: &Context) -> anyhow::Result<actors::Registry> {
    let node = NodeId::from_uuid(context.random.uuid());
    Ok(actors::start(config.session.clone(), config.profiles(), node, context.clone()).await?)
}

async fn serve(
    config: Config,
    listener: TcpListener,
    registry: actors::Registry,
    context: Context,
    drain: Drain,
) -> anyhow::Result<()> {
    let served = gateway::run(
        config.gateway.clone(),
        listener,
        registry.clone(),
        gateway::Tenants::new(config.callers()),
        metrics()?,
        archive(&config)?,
        context,
    )
    .await;
    registry.drain(drain.left()).await;
    served.context("serving HTTP")
}

fn drain(config: &Config, context: &Context) -> Drain {
    Drain::new(Duration::from_millis(config.gateway.drain_ms), context.stop.clone())
}

fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.gateway.listen;
    let listener = TcpListener::bind(address).with_context(|| {
        format!("gateway.listen = {address}: cannot be bound; free the port or choose another with --listen")
    })?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener)
}

async fn connect(config: &Config) -> anyhow::Result<Context> {
    let patience = Duration::from_millis(config.broker.connect_timeout_ms);
    let broker = runtime::broker::connect(&config.broker.url, patience).await.context("broker.url")?;
    let system = Arc::new(System);
    let random: Arc<dyn Random> = system.clone();
    let stop = runtime::shutdown::on_signal()?;
    let context = Context { broker, clock: system, random, health: Health::default(), stop };
    tokio::spawn(runtime::broker::watch(context.clone()));
    Ok(context)
}

fn metrics() -> anyhow::Result<impl Fn() -> String + Clone + Send + Sync + 'static> {
    let handle = runtime::metric::install().context("metrics")?;
    Ok(move || handle.render())
}

async fn finish(mut roles: Roles) -> anyhow::Result<()> {
    while let Some(ended) = roles.join_next().await {
        ended.context("a worker panicked")??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_drain_runs_from_the_signal_on() {
        let (grace, stop) = (Duration::from_secs(60), CancellationToken::new());
        let drain = Drain::new(grace, stop.clone());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(drain.left(), grace);
        stop.cancel();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (first, second) = (drain.left(), drain.clone().left());
        assert!(second <= first && first < grace && first > grace / 2, "{first:?} {second:?}");
    }
}
