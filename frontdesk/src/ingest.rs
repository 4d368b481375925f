//! Brings documents to a running gateway: files, folders, web pages and sitemaps, served all at once when all are read.

mod client;
mod files;
mod report;
mod robots;
mod sitemap;
mod web;

#[cfg(test)]
mod tests;

pub use files::documents;

use crate::{cli::Ingest, print};
use anyhow::Context;
use client::{Gateway, Sent};
use futures_util::{StreamExt, stream};
use protocol::{DocumentFormat, IngestId};
use report::Report;
use std::path::PathBuf;
use web::Web;

/// Documents sent at once.
const AT_ONCE: usize = 8;
/// Largest document that is sent, in bytes; the gateway may accept less.
const MAX_BYTES: u64 = 64 << 20;

/// The media type that tells the gateway how a document is written.
fn media_type(format: DocumentFormat) -> &'static str {
    match format {
        DocumentFormat::Markdown => "text/markdown",
        DocumentFormat::Text => "text/plain",
        DocumentFormat::Html => "text/html",
        DocumentFormat::Pdf => "application/pdf",
        DocumentFormat::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        DocumentFormat::FaqCsv => "text/csv",
        DocumentFormat::FaqJsonl => "application/jsonl",
    }
}

/// A document and where it is.
#[derive(Debug, Clone, PartialEq)]
struct Source {
    name: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    File(PathBuf, DocumentFormat),
    Page(reqwest::Url),
}

/// Sends every document and prints what became of it; fails when one was not taken.
pub async fn run(ingest: &Ingest) -> anyhow::Result<()> {
    // HTTPS takes the process's default; a second installation is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gateway = Gateway::new(&ingest.url, &ingest.key)?;
    let web = Web::new(ingest.any_host)?;
    let sources = gather(ingest, &web).await?;
    if ingest.dry_run {
        let lines: Vec<String> = sources.iter().map(|source| format!("{}\n", source.name)).collect();
        return print(&format!("{}{} documents would be sent\n", lines.concat(), sources.len()));
    }
    let id = gateway.begin().await?;
    tokio::select! {
        report = send_all(&gateway, &web, &id, sources) => finish(&gateway, &id, report, ingest.remove_others).await,
        _ = tokio::signal::ctrl_c() => {
            gateway.abort(&id).await?;
            anyhow::bail!("interrupted; nothing was changed")
        }
    }
}

async fn gather(ingest: &Ingest, web: &Web) -> anyhow::Result<Vec<Source>> {
    let (pages, paths): (Vec<_>, Vec<_>) = ingest
        .sources
        .iter()
        .partition(|source| ["http://", "https://"].iter().any(|scheme| source.starts_with(scheme)));
    let mut sources = Vec::new();
    for page in pages {
        let url = reqwest::Url::parse(page).with_context(|| format!("{page}: no address"))?;
        sources.extend(web.find(url, ingest.max_pages).await?);
    }
    if !paths.is_empty() {
        let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
        let files = tokio::task::spawn_blocking(move || documents(&paths)).await??;
        sources.extend(
            files.into_iter().map(|file| Source { name: file.name, place: Place::File(file.path, file.format) }),
        );
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources.dedup_by(|a, b| a == b);
    if let Some(pair) = sources.windows(2).find(|pair| pair[0].name == pair[1].name) {
        anyhow::bail!("two documents are called {:?} and would replace each other; rename one", pair[0].name);
    }
    Ok(sources)
}

async fn send_all(gateway: &Gateway, web: &Web, id: &IngestId, sources: Vec<Source>) -> Report {
    let mut report = Report::of(sources.len());
    let send = |source: Source| async move {
        let sent = send(gateway, web, id, &source).await;
        (source.name, sent)
    };
    let mut sent = stream::iter(sources).map(send).buffer_unordered(AT_ONCE);
    while let Some((name, outcome)) = sent.next().await {
        report.add(name, outcome);
    }
    report
}

async fn send(gateway: &Gateway, web: &Web, id: &IngestId, source: &Source) -> anyhow::Result<Sent> {
    let (bytes, format) = match &source.place {
        Place::Page(url) => match web.page(url).await? {
            Some(page) => page,
            None => return Ok(Sent::Skipped),
        },
        Place::File(path, format) => {
            let size = tokio::fs::metadata(path).await?.len();
            anyhow::ensure!(size <= MAX_BYTES, "the file has {size} bytes, at most {MAX_BYTES} are sent; split it");
            (tokio::fs::read(path).await?.into(), *format)
        }
    };
    gateway.put(id, &source.name, media_type(format), bytes).await.map(|outcome| Sent::Read(Box::new(outcome)))
}

async fn finish(gateway: &Gateway, id: &IngestId, report: Report, remove_others: bool) -> anyhow::Result<()> {
    print(&report.lines())?;
    if report.read() == 0 {
        gateway.abort(id).await?;
        anyhow::bail!("no document was taken; nothing was changed");
    }
    // What could not be sent is not named by the ingest; what is served of it must stay.
    let remove = remove_others && report.unsent() == 0;
    let published = gateway.publish(id, remove).await?;
    print(&report.summary(&published))?;
    if remove != remove_others {
        print("no document was removed, because some could not be sent\n")?;
    }
    anyhow::ensure!(report.failed() == 0, "{} of {} documents were not taken", report.failed(), report.all());
    Ok(())
}
