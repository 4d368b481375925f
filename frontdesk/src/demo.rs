//! Loads the demo tenant's documents through the same door as everybody's: jobs on the ingest queue.

use crate::{config::Config, ingest, print, roles};
use anyhow::Context as _;
use protocol::{Event, IngestId, KnowledgeJob, TenantId};
use runtime::Context;
use std::path::PathBuf;

const PART: &str = "demo tenant";

/// Adds every document of `folder` and says how to ask; without a folder it does nothing. Until then the process is not
/// ready.
pub fn load(
    config: Config,
    folder: Option<PathBuf>,
    registry: actors::Registry,
    context: Context,
) -> impl Future<Output = ()> + Send {
    if folder.is_some() {
        context.health.unready(PART, "loading the documents");
    }
    async move {
        let Some(folder) = folder else { return };
        let Some(tenant) = config.tenants.last().map(|tenant| tenant.id.clone()) else { return };
        match put_all(&config, &folder, &tenant, &registry, &context).await {
            Ok(count) => announce(&config, count, &context).await,
            Err(error) => {
                tracing::error!("the demo tenant's documents could not be loaded: {error:#}");
                context.health.unready(PART, "its documents could not be loaded; the log says why");
            }
        }
    }
}

/// What has not changed since the last start is not read again.
async fn put_all(
    config: &Config,
    folder: &std::path::Path,
    tenant: &TenantId,
    registry: &actors::Registry,
    context: &Context,
) -> anyhow::Result<usize> {
    let (folder, archive) = (folder.to_path_buf(), roles::archive(config)?);
    let files = tokio::task::spawn_blocking(|| ingest::documents(&[folder])).await??;
    let ingest = IngestId::from_uuid(context.random.uuid());
    registry.knowledge(tenant, KnowledgeJob::Begin { ingest: ingest.clone() }).await?;
    for file in &files {
        let content = tokio::fs::read(&file.path).await.with_context(|| file.path.display().to_string())?;
        let original = catalog::keep(&*archive, tenant, content.into()).await?;
        let (name, format, ingest) = (file.name.clone(), file.format, Some(ingest.clone()));
        let added = registry.knowledge(tenant, KnowledgeJob::Add { name, format, original, ingest }).await;
        let outcome = match added.with_context(|| file.name.clone())? {
            Event::Ingest(mut report) => report.documents.pop(),
            _ => None,
        };
        if let Some(failure) = outcome.and_then(|outcome| outcome.failure) {
            anyhow::bail!("{}: {}", file.path.display(), failure.message);
        }
    }
    registry.knowledge(tenant, KnowledgeJob::Publish { ingest, remove_others: false }).await?;
    Ok(files.len())
}

async fn announce(config: &Config, documents: usize, context: &Context) {
    context.health.ready(PART);
    while !context.health.is_ready() && !context.stop.is_cancelled() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let address = format!("http://{}", config.gateway.listen);
    let welcome = format!(
        "\nFrontdesk answers at {address}  (demo tenant, {documents} documents, key: demo-key)\n\n  \
         curl -N {address}/v1/chat/completions -H 'Authorization: Bearer demo-key' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\":\"frontdesk\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"如何重置密码?\"}}]}}'\n\n\
         Ctrl-C stops it.\n"
    );
    if let Err(error) = print(&welcome) {
        tracing::warn!(%address, "ready; the welcome could not be printed: {error:#}");
    }
}
