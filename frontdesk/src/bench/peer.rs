//! The server that the engine is compared with.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::time::Duration;
use worker_gpu::Config;

/// A whole answer on a slow machine takes no longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// The server at `base` as an engine of ours, with room for what `config` has room for. It is asked for its model's name
/// unless `model` tells it.
pub fn config(base: &str, model: Option<&str>, config: &Config) -> anyhow::Result<Config> {
    let base = base.trim_end_matches('/');
    let model = match model {
        Some(model) => model.into(),
        None => {
            crate::block_on(first_model(base, &config.openai_key.0)).with_context(|| format!("--against {base}"))?
        }
    };
    let openai_silence_ms = PATIENCE.as_millis() as u64;
    Ok(Config { engine: format!("openai:{base}#{model}"), openai_silence_ms, ..config.clone() })
}

async fn first_model(base: &str, key: &str) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let request = client.get(format!("{base}/models"));
    let request = if key.is_empty() { request } else { request.bearer_auth(key) };
    let response = request.send().await?;
    ensure!(response.status().is_success(), "status {}", response.status());
    let list: Value = response.json().await?;
    let first = list["data"][0]["id"].as_str();
    first.map(String::from).context("the server lists no model; name one with --against-model")
}
