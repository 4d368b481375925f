//! Reads web pages, politely: within what `robots.txt` allows, a few at once, on the sites that were named.

use super::{
    Place, Source,
    client::retry_after,
    files::{SEPARATOR, fitting, format_of},
    robots::Robots,
    sitemap,
};
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use protocol::DocumentFormat;
use reqwest::{Client, Response, StatusCode, Url, header, redirect::Policy};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Mutex, Semaphore};

/// Pages fetched at once.
const AT_ONCE: usize = 4;
/// Largest page, in bytes.
const MAX_PAGE: usize = 32 << 20;
/// Sitemaps read at most.
const MAX_SITEMAPS: usize = 1000;
/// How often a page is tried, and the longest pause between.
const ATTEMPTS: u32 = 4;
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The web.
pub struct Web {
    client: Client,
    any_host: bool,
    at_once: Semaphore,
    sites: Mutex<HashMap<String, Arc<Site>>>,
}

struct Site {
    robots: Robots,
    /// Held while the site's pause lasts.
    turn: Mutex<()>,
}

impl Web {
    /// `any_host`: sitemaps may lead to other sites than their own.
    pub fn new(any_host: bool) -> anyhow::Result<Self> {
        let hops = move |attempt: reqwest::redirect::Attempt<'_>| {
            let first = attempt.previous().first().and_then(|url| url.host_str().map(bare));
            let leaves = first != attempt.url().host_str().map(bare);
            if attempt.previous().len() > 5 || (leaves && !any_host) { attempt.stop() } else { attempt.follow() }
        };
        let client = Client::builder()
            .user_agent(concat!("frontdesk/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(hops))
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self { client, any_host, at_once: Semaphore::new(AT_ONCE), sites: Mutex::new(HashMap::new()) })
    }

    /// The pages that `url` stands for: those of a sitemap, of the sitemaps of an index, or the page itself.
    pub async fn find(&self, url: Url, max_pages: usize) -> anyhow::Result<Vec<Source>> {
        let host = url.host_str().map(bare).map(str::to_owned);
        let mut waiting = VecDeque::from([url.clone()]);
        let mut seen = HashSet::from([url]);
        let mut pages = BTreeMap::new();
        while let Some(url) = waiting.pop_front() {
            let Some(map) = self.sitemap(&url).await.with_context(|| url.to_string())? else {
                pages.insert(name(&url), url);
                continue;
            };
            let on_site = |place: &String| {
                Url::parse(place).ok().filter(|url| self.any_host || url.host_str().map(bare) == host.as_deref())
            };
            waiting.extend(map.sitemaps.iter().filter_map(on_site).filter(|url| seen.insert(url.clone())));
            pages.extend(map.pages.iter().filter_map(on_site).map(|url| (name(&url), url)));
            let (found, maps) = (pages.len(), seen.len());
            anyhow::ensure!(found <= max_pages, "the sitemap lists more than {max_pages} pages; raise --max-pages");
            anyhow::ensure!(maps <= MAX_SITEMAPS, "there are more than {MAX_SITEMAPS} sitemaps; name fewer");
        }
        Ok(pages.into_iter().map(|(name, url)| Source { name, place: Place::Page(url) }).collect())
    }

    async fn sitemap(&self, url: &Url) -> anyhow::Result<Option<sitemap::Sitemap>> {
        let path = url.path();
        anyhow::ensure!(!path.ends_with(".gz"), "compressed sitemaps are not read; name the plain one");
        if !path.ends_with(".xml") && !path.contains("sitemap") {
            return Ok(None);
        }
        let body = self.body(self.fetch(url).await?).await?;
        Ok(sitemap::parse(&String::from_utf8_lossy(&body)))
    }

    /// A page; `None`: it is of a kind that is no document.
    pub async fn page(&self, url: &Url) -> anyhow::Result<Option<(Bytes, DocumentFormat)>> {
        let answer = self.fetch(url).await?;
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let format = match kind.split(';').next().unwrap_or_default().trim() {
            "text/html" | "application/xhtml+xml" => Some(DocumentFormat::Html),
            "application/pdf" => Some(DocumentFormat::Pdf),
            "text/markdown" => Some(DocumentFormat::Markdown),
            "text/plain" => Some(DocumentFormat::Text),
            "" | "application/octet-stream" => format_of(url.path()),
            kind if kind.ends_with("wordprocessingml.document") => Some(DocumentFormat::Docx),
            _ => None,
        };
        match format {
            Some(format) => Ok(Some((self.body(answer).await?, format))),
            None => Ok(None),
        }
    }

    async fn fetch(&self, url: &Url) -> anyhow::Result<Response> {
        let site = self.site(url).await?;
        let path = url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        anyhow::ensure!(site.robots.allows(&path), "the site's robots.txt forbids to read it");
        let _permit = self.at_once.acquire().await?;
        if let Some(delay) = site.robots.delay {
            let _turn = site.turn.lock().await;
            tokio::time::sleep(delay).await;
        }
        let answer = self.patiently(url).await?;
        let status = answer.status();
        anyhow::ensure!(!status.is_redirection(), "it leads to another site; name that, or allow it with --any-host");
        anyhow::ensure!(status.is_success(), "the site answers {status}");
        Ok(answer)
    }

    async fn patiently(&self, url: &Url) -> anyhow::Result<Response> {
        let mut pause = Duration::from_secs(1);
        for attempt in 1.. {
            let answer = self.client.get(url.clone()).send().await;
            let wait = match &answer {
                Ok(refusal) if is_for_now(refusal.status()) => retry_after(refusal).unwrap_or(pause),
                Ok(_) => return Ok(answer?),
                Err(_) => pause,
            };
            if attempt >= ATTEMPTS {
                return answer.context("the site does not answer");
            }
            tokio::time::sleep(wait.min(MAX_PAUSE)).await;
            pause *= 2;
        }
        anyhow::bail!("the site does not answer")
    }

    async fn body(&self, mut answer: Response) -> anyhow::Result<Bytes> {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await? {
            anyhow::ensure!(body.len() + chunk.len() <= MAX_PAGE, "the page has more than {MAX_PAGE} bytes");
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    async fn site(&self, url: &Url) -> anyhow::Result<Arc<Site>> {
        let origin = url.origin().ascii_serialization();
        let mut sites = self.sites.lock().await;
        if let Some(site) = sites.get(&origin) {
            return Ok(site.clone());
        }
        let answer = self.patiently(&url.join("/robots.txt")?).await?;
        let robots = match answer.status() {
            status if status.is_success() => Robots::parse(&String::from_utf8_lossy(&self.body(answer).await?)),
            // It has none, so it allows all.
            status if status.is_client_error() || status.is_redirection() => Robots::default(),
            _ => Robots::closed(),
        };
        let site = Arc::new(Site { robots, turn: Mutex::new(()) });
        sites.insert(origin, site.clone());
        Ok(site)
    }
}

fn is_for_now(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// A host without the `www.` that many sites have as well.
fn bare(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

/// A page's name: its address in readable characters, without the scheme.
fn name(url: &Url) -> String {
    let parts = std::iter::once(url.host_str().unwrap_or_default()).chain(url.path_segments().into_iter().flatten());
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).map(decoded).collect();
    let query = url.query().map(|query| format!("?{}", decoded(query))).unwrap_or_default();
    fitting(&format!("{}{query}", parts.join(SEPARATOR)))
}

fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| part.to_owned())
}
