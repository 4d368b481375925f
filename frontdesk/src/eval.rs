//! Measures retrieval on a folder of documents with questions, in an index of its own.

use crate::{config::Config, ingest, print, roles};
use anyhow::Context;
use protocol::{KnowledgeJob, TenantId, Timestamp};
use runtime::clock::System;
use std::{path::Path, sync::Arc, time::Instant};
use worker_retrieval::eval::{self, Mode};

/// Ingests `folder`, asks every question of its `questions.jsonl`, and prints hit@1, hit@5 and MRR for each mode.
pub async fn run(config: &Config, folder: &Path) -> anyhow::Result<()> {
    let file = folder.join("questions.jsonl");
    let lines = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let cases = eval::parse(&lines).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    let index = tempfile::tempdir().context("a folder for the index")?;
    let mut config = config.clone();
    config.data_dir = index.path().into();
    let stores = roles::stores(&config, None).await?;
    let retrieval =
        tokio::task::spawn_blocking(move || roles::open_retrieval(&config, stores, Arc::new(System))).await??;
    let tenant = TenantId::parse("eval")?;
    let started = Instant::now();
    let documents = ingest::documents(&[folder.to_path_buf()])?;
    for document in &documents {
        let content = std::fs::read_to_string(&document.path).with_context(|| document.path.display().to_string())?;
        let job = KnowledgeJob::Put { name: document.name.clone(), format: document.format, content };
        retrieval.apply(&tenant, Timestamp(u64::MAX), job).await.with_context(|| document.name.clone())?;
    }
    print(&format!(
        "{} documents ingested in {:.1} s, {} questions\n\n",
        documents.len(),
        started.elapsed().as_secs_f64(),
        cases.len()
    ))?;
    for mode in [Mode::Bm25, Mode::Vectors, Mode::Hybrid] {
        print(&format!("{}\n", eval::evaluate(&retrieval, &tenant, &cases, mode).await?))?;
    }
    Ok(())
}
