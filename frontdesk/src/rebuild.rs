//! Builds the search index anew, without a running system.

use crate::{cli::Rebuild, config::Config, print, roles};
use anyhow::Context;
use protocol::{Event, KnowledgeJob, TenantId, Timestamp};
use runtime::clock::System;
use std::{sync::Arc, time::Instant};

/// Rebuilds every tenant's index, or one, and says what came of it.
pub async fn run(config: &Config, rebuild: &Rebuild) -> anyhow::Result<()> {
    let stores = roles::stores(config, None).await?;
    let tenants = match &rebuild.tenant {
        Some(tenant) => vec![TenantId::parse(tenant.as_str()).context("--tenant")?],
        None => stores.catalog.tenants().await.context("catalog.url")?,
    };
    let (opened, catalog) = (config.clone(), stores.clone());
    let open = tokio::task::spawn_blocking(move || roles::open_retrieval(&opened, catalog, Arc::new(System)));
    let retrieval = open.await.context("opening the index panicked")??;
    for tenant in tenants {
        let started = Instant::now();
        let rebuilt = retrieval.apply(&tenant, Timestamp(u64::MAX), KnowledgeJob::Rebuild).await;
        let versions = match rebuilt.with_context(|| tenant.to_string())? {
            Event::Versions { versions } => versions,
            other => anyhow::bail!("{tenant}: {other:?} is no answer to a rebuild"),
        };
        let served = versions.into_iter().find(|info| info.served);
        let (documents, passages) = served.map(|info| (info.documents, info.passages)).unwrap_or_default();
        let seconds = started.elapsed().as_secs_f64();
        print(&format!("{tenant}: {documents} documents, {passages} passages in {seconds:.1} s\n"))?;
    }
    Ok(())
}
