//! Sends documents to a running gateway.

use crate::{cli::Ingest, demo::format_of};
use anyhow::Context;
use protocol::{DocumentFormat, DocumentReport};
use std::path::{Path, PathBuf};

/// A document that lies on disk.
pub struct DocumentFile {
    /// Where.
    pub path: PathBuf,
    /// Its base name, which decides the document's id.
    pub name: String,
    /// How it is written.
    pub format: DocumentFormat,
}

/// Every document among `paths`, folders searched to the bottom, by path. A README is about a folder, not part of it.
pub fn documents(paths: &[PathBuf]) -> anyhow::Result<Vec<DocumentFile>> {
    let mut found = Vec::new();
    for path in paths {
        collect(path, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    anyhow::ensure!(!found.is_empty(), "no documents (.md, .txt, .csv) in {}", paths[0].display());
    Ok(found)
}

fn collect(path: &Path, found: &mut Vec<DocumentFile>) -> anyhow::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
            collect(&entry?.path(), found)?;
        }
        return Ok(());
    }
    anyhow::ensure!(path.is_file(), "{}: no such file or folder", path.display());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
    if let Some(format) = format_of(&name).filter(|_| !name.eq_ignore_ascii_case("README.md")) {
        found.push(DocumentFile { path: path.to_path_buf(), name, format });
    }
    Ok(())
}

/// Sends every document and prints what became of it; fails when one was refused.
pub async fn run(ingest: &Ingest) -> anyhow::Result<()> {
    // HTTPS takes the process's default; a second installation is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().build()?;
    let mut refused = 0;
    for file in documents(&ingest.paths)? {
        match send(&client, ingest, &file).await {
            Ok(report) => print_report(&file, &report),
            Err(error) => {
                refused += 1;
                eprintln!("{}: {error:#}", file.path.display());
            }
        }
    }
    anyhow::ensure!(refused == 0, "{refused} documents were refused");
    Ok(())
}

async fn send(client: &reqwest::Client, ingest: &Ingest, file: &DocumentFile) -> anyhow::Result<DocumentReport> {
    let media_type = match file.format {
        DocumentFormat::Markdown => "text/markdown",
        DocumentFormat::Text => "text/plain",
        DocumentFormat::FaqCsv => "text/csv",
    };
    let url = format!("{}/v1/documents", ingest.url.trim_end_matches('/'));
    let response = client
        .post(url)
        .query(&[("name", &file.name)])
        .bearer_auth(&ingest.key)
        .header("content-type", media_type)
        .body(std::fs::read(&file.path)?)
        .send()
        .await?;
    if response.status().is_success() {
        return Ok(response.json().await?);
    }
    let status = response.status();
    anyhow::bail!("{status}: {}", message(&response.text().await.unwrap_or_default()))
}

fn message(body: &str) -> String {
    let error: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = error.as_ref().and_then(|value| value.pointer("/error/message")).and_then(|text| text.as_str());
    text.unwrap_or("no reason given").to_string()
}

fn print_report(file: &DocumentFile, report: &DocumentReport) {
    let how = if report.replaced { "replaced" } else { "added" };
    println!("{}: {how} as {} in {} passages", file.path.display(), report.document.id, report.document.passages);
    report.warnings.iter().for_each(|warning| println!("  {warning}"));
}
