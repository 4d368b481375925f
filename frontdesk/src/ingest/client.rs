//! Speaks to the gateway, and patiently: refusals for a while and lost connections are repeated.

use anyhow::Context;
use bytes::Bytes;
use protocol::{DocumentOutcome, IngestId, IngestReport};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;

/// How often a request is tried.
const ATTEMPTS: u32 = 8;
/// The first pause; each one is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A document may wait for others before it is read.
const PATIENCE: Duration = Duration::from_secs(600);

/// A gateway, as one tenant.
pub struct Gateway {
    client: Client,
    url: Url,
    key: String,
    pause: Duration,
}

/// What became of a document here.
pub enum Sent {
    /// The gateway has read it, or tried to.
    Read(Box<DocumentOutcome>),
    /// It is no document.
    Skipped,
}

impl Gateway {
    /// The gateway at `url`, as the tenant who has this key.
    pub fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        let expected = || format!("--url = {url:?}: expected the gateway's address, such as http://127.0.0.1:8080");
        let parsed = Url::parse(&format!("{}/", url.trim_end_matches('/'))).with_context(expected)?;
        anyhow::ensure!(parsed.has_host(), expected());
        let client = Client::builder().connect_timeout(Duration::from_secs(10)).timeout(PATIENCE).build()?;
        Ok(Self { client, url: parsed, key: key.into(), pause: PAUSE })
    }

    /// The same, with shorter pauses.
    #[cfg(test)]
    pub fn hasty(self) -> Self {
        Self { pause: Duration::from_millis(1), ..self }
    }

    /// Begins an ingest.
    pub async fn begin(&self) -> anyhow::Result<IngestId> {
        let report: IngestReport = self.ask(&|| Ok(self.client.post(self.at(&[])?))).await?;
        Ok(report.ingest)
    }

    /// Sends a document.
    pub async fn put(
        &self,
        ingest: &IngestId,
        name: &str,
        media_type: &str,
        body: Bytes,
    ) -> anyhow::Result<DocumentOutcome> {
        let request = || {
            let url = self.at(&[ingest.as_str(), "documents"])?;
            let request = self.client.put(url).query(&[("name", name)]).header(header::CONTENT_TYPE, media_type);
            Ok(request.body(body.clone()))
        };
        self.ask(&request).await
    }

    /// Serves what was sent.
    pub async fn publish(&self, ingest: &IngestId, remove_others: bool) -> anyhow::Result<IngestReport> {
        let body = json!({ "remove_others": remove_others });
        self.ask(&|| Ok(self.client.post(self.at(&[ingest.as_str(), "publish"])?).json(&body))).await
    }

    /// Gives an ingest up.
    pub async fn abort(&self, ingest: &IngestId) -> anyhow::Result<()> {
        self.send(&|| Ok(self.client.delete(self.at(&[ingest.as_str()])?))).await.map(drop)
    }

    fn at(&self, parts: &[&str]) -> anyhow::Result<Url> {
        Ok(self.url.join(&["v1/ingests"].iter().chain(parts).copied().collect::<Vec<_>>().join("/"))?)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: &impl Fn() -> anyhow::Result<RequestBuilder>,
    ) -> anyhow::Result<T> {
        self.send(request)
            .await?
            .json()
            .await
            .context("the gateway's answer is not what was expected; is it as new as this?")
    }

    async fn send(&self, request: &impl Fn() -> anyhow::Result<RequestBuilder>) -> anyhow::Result<Response> {
        let mut pause = self.pause;
        for attempt in 1.. {
            let answer = request()?.bearer_auth(&self.key).send().await;
            let (again, wait) = match &answer {
                Ok(answer) => (is_for_now(answer.status()), retry_after(answer)),
                Err(error) => (!error.is_builder(), None),
            };
            if !again || attempt >= ATTEMPTS {
                return checked(answer.context("the gateway does not answer")?).await;
            }
            // Those who were refused together do not come back together.
            let jitter = pause.mul_f64(rand::random_range(0.0..0.5));
            tokio::time::sleep(wait.unwrap_or(pause).min(MAX_PAUSE) + jitter).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        anyhow::bail!("the gateway does not answer")
    }
}

fn is_for_now(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}

/// How long an answer asks to wait.
pub fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn checked(answer: Response) -> anyhow::Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.text().await.unwrap_or_default();
    let error: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let message = error.as_ref().and_then(|value| value.pointer("/error/message")).and_then(|text| text.as_str());
    anyhow::bail!("{status}: {}", message.unwrap_or("no reason given"))
}
