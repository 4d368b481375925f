//! The server that the engine is compared with.

use anyhow::{Context, ensure};
use protocol::{ChatMessage, Role};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::time::Duration;
use worker_gpu::Config;

/// A whole answer on a slow machine takes no longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server with OpenAI's interface and one of its models.
pub struct Peer {
    client: reqwest::Client,
    base: String,
    model: String,
    key: String,
}

impl Peer {
    /// Asks the server for its model's name unless `model` tells it.
    pub fn connect(base: &str, model: Option<&str>, key: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let base = base.trim_end_matches('/').to_string();
        let mut peer = Self { client, base, model: String::new(), key: key.into() };
        peer.model = match model {
            Some(model) => model.into(),
            None => peer.first_model()?,
        };
        Ok(peer)
    }

    /// The server as an engine of ours, with room for what `config` has room for.
    pub fn config(&self, config: &Config) -> Config {
        let openai_silence_ms = PATIENCE.as_millis() as u64;
        let engine = format!("openai:{}#{}", self.base, self.model);
        let ignore_end = config.ignore_end && self.can_ignore_end();
        Config { engine, openai_silence_ms, ignore_end, ..config.clone() }
    }

    /// Servers that know no `ignore_eos` either refuse it or end their answers as they like.
    fn can_ignore_end(&self) -> bool {
        let messages = [ChatMessage::new(Role::User, "Hello")];
        self.chat(json!({ "messages": messages, "max_tokens": 1, "ignore_eos": true })).is_ok()
    }

    /// What the server answers to a chat request; its model is put in here.
    pub fn chat(&self, mut body: Value) -> anyhow::Result<Value> {
        body["model"] = self.model.as_str().into();
        self.answer(self.client.post(format!("{}/chat/completions", self.base)).json(&body))
    }

    fn first_model(&self) -> anyhow::Result<String> {
        let list = self.answer(self.client.get(format!("{}/models", self.base)))?;
        let first = list["data"][0]["id"].as_str();
        first.map(String::from).context("the server lists no model; name one with --against-model")
    }

    fn answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let request = if self.key.is_empty() { request } else { request.bearer_auth(&self.key) };
        let answer = async {
            let response = request.send().await?;
            let (status, body) = (response.status(), response.text().await?);
            ensure!(status.is_success(), "{status}: {body}");
            Ok(serde_json::from_str(&body)?)
        };
        crate::block_on(answer).with_context(|| format!("--against {}", self.base))
    }
}
