//! How requests go to the server: with a key, and with patience when it is busy.

use async_trait::async_trait;
use futures_util::io::{AsyncRead, AsyncReadExt};
use meilisearch_sdk::{
    errors::Error,
    request::{HttpClient, Method, parse_response},
};
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// First pause before a busy server is asked again; it doubles, unless the server names one.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the server cannot be asked now.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

/// Sends requests with one key.
#[derive(Clone)]
pub struct Http {
    client: Client,
    key: Option<String>,
    patience: Duration,
    /// Whether a server that takes no connections is waited for.
    insists: bool,
}

impl Http {
    /// Gives up after `patience`, and at once when there is no server.
    pub fn new(key: Option<&str>, patience: Duration) -> Result<Self, reqwest::Error> {
        // Fails when one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().connect_timeout(CONNECT).build()?;
        Ok(Self { client, key: key.map(str::to_owned), patience, insists: false })
    }

    /// The same connections with another key.
    pub fn with_key(&self, key: Option<String>) -> Self {
        Self { key, ..self.clone() }
    }

    /// The same connections, but waits as long for a server that comes back.
    pub fn insisting(&self, patience: Duration) -> Self {
        Self { patience, insists: true, ..self.clone() }
    }

    async fn send(
        &self,
        verb: reqwest::Method,
        url: &str,
        content: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(u16, String), Error> {
        let began = Instant::now();
        let mut pause = PAUSE;
        loop {
            let left = self.patience.saturating_sub(began.elapsed());
            let (reason, wait) = match self.once(&verb, url, content, body.clone(), left).await {
                Ok(response) if is_busy(response.status()) => {
                    let asked = retry_after(&response);
                    (format!("it answers {}", response.status()), asked.unwrap_or(pause))
                }
                Ok(response) => {
                    let status = response.status().as_u16();
                    return response.text().await.map(|text| (status, text)).map_err(|error| trouble(&error));
                }
                Err(error) if self.insists && error.is_connect() => (trouble(&error).to_string(), pause),
                Err(error) => return Err(trouble(&error)),
            };
            if wait >= self.patience.saturating_sub(began.elapsed()) {
                return Err(Error::Other(Box::new(Trouble(format!(
                    "{reason}, to be asked again in {} ms",
                    wait.as_millis()
                )))));
            }
            sleep(wait).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn once(
        &self,
        verb: &reqwest::Method,
        url: &str,
        content: &str,
        body: Option<Vec<u8>>,
        limit: Duration,
    ) -> reqwest::Result<Response> {
        let mut request = self.client.request(verb.clone(), url).timeout(limit);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, content).body(body);
        }
        request.send().await
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The innermost cause tells most; the address is known to who asked.
fn trouble(error: &reqwest::Error) -> Error {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |&error| error.source());
    let reason = causes.last().map(ToString::to_string).unwrap_or_default();
    Error::Other(Box::new(Trouble(reason)))
}

#[async_trait]
impl HttpClient for Http {
    async fn request<Query, Body, Output>(
        &self,
        url: &str,
        method: Method<Query, Body>,
        expected: u16,
    ) -> Result<Output, Error>
    where
        Query: Serialize + Send + Sync,
        Body: Serialize + Send + Sync,
        Output: DeserializeOwned + 'static + Send,
    {
        let url = with_query(url, method.query())?;
        let body = method.body().map(serde_json::to_vec).transpose()?;
        let (status, text) = self.send(verb(&method), &url, "application/json", body).await?;
        parse_response(status, expected, if text.is_empty() { "null" } else { &text }, url)
    }

    async fn stream_request<Query, Body, Output>(
        &self,
        url: &str,
        method: Method<Query, Body>,
        content_type: &str,
        expected: u16,
    ) -> Result<Output, Error>
    where
        Query: Serialize + Send + Sync,
        Body: AsyncRead + Send + Sync + 'static,
        Output: DeserializeOwned + 'static,
    {
        let (url, verb) = (with_query(url, method.query())?, verb(&method));
        let mut bytes = Vec::new();
        if let Some(body) = method.into_body() {
            let read = Box::pin(body).read_to_end(&mut bytes).await;
            read.map_err(|error| Error::Other(Box::new(error)))?;
        }
        let (status, text) = self.send(verb, &url, content_type, Some(bytes)).await?;
        parse_response(status, expected, if text.is_empty() { "null" } else { &text }, url)
    }

    fn is_tokio(&self) -> bool {
        true
    }
}

fn verb<Q, B>(method: &Method<Q, B>) -> reqwest::Method {
    match method {
        Method::Get { .. } => reqwest::Method::GET,
        Method::Post { .. } => reqwest::Method::POST,
        Method::Patch { .. } => reqwest::Method::PATCH,
        Method::Put { .. } => reqwest::Method::PUT,
        Method::Delete { .. } => reqwest::Method::DELETE,
    }
}

/// `url` with the plain values of `query`.
fn with_query(url: &str, query: &impl Serialize) -> Result<String, Error> {
    let serde_json::Value::Object(pairs) = serde_json::to_value(query)? else { return Ok(url.into()) };
    let mut url = Url::parse(url).map_err(|error| Error::Other(Box::new(error)))?;
    for (name, value) in pairs {
        let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        url.query_pairs_mut().append_pair(&name, &plain);
    }
    Ok(url.into())
}
