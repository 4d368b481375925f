//! Loads the demo tenant's documents through the same door as everybody's: jobs on the ingest queue.

use crate::{config::Config, ingest};
use anyhow::Context as _;
use protocol::{DocumentFormat, KnowledgeJob, TenantId};
use runtime::Context;
use std::path::PathBuf;

/// Adds every document of `folder` and says how to ask; without a folder it does nothing.
pub async fn load(config: Config, folder: Option<PathBuf>, registry: actors::Registry, context: Context) {
    let Some(folder) = folder else { return };
    let Some(tenant) = config.tenants.last().map(|tenant| tenant.id.clone()) else { return };
    match put_all(&folder, &tenant, &registry).await {
        Ok(count) => announce(&config, count, &context).await,
        Err(error) => tracing::error!("the demo tenant's documents could not be loaded: {error:#}"),
    }
}

async fn put_all(folder: &std::path::Path, tenant: &TenantId, registry: &actors::Registry) -> anyhow::Result<usize> {
    let files = ingest::documents(&[folder.to_path_buf()])?;
    for file in &files {
        let content = std::fs::read_to_string(&file.path).with_context(|| file.path.display().to_string())?;
        let job = KnowledgeJob::Put { name: file.name.clone(), format: file.format, content };
        registry.knowledge(tenant, job).await.with_context(|| file.name.clone())?;
    }
    Ok(files.len())
}

async fn announce(config: &Config, documents: usize, context: &Context) {
    while !context.health.is_ready() && !context.stop.is_cancelled() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let address = format!("http://{}", config.gateway.listen);
    println!(
        "\nFrontdesk answers at {address}  (demo tenant, {documents} documents, key: demo-key)\n\n  \
         curl -N {address}/v1/chat/completions -H 'Authorization: Bearer demo-key' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\":\"frontdesk\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"如何重置密码?\"}}]}}'\n\n\
         Ctrl-C stops it.\n"
    );
}

/// The format that a file name's ending tells; `None`: not a document.
pub fn format_of(name: &str) -> Option<DocumentFormat> {
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(DocumentFormat::Markdown),
        "txt" => Some(DocumentFormat::Text),
        "csv" => Some(DocumentFormat::FaqCsv),
        _ => None,
    }
}
