//! Sends documents to a running gateway.

use crate::{cli::Ingest, print};
use anyhow::Context;
use protocol::{DocumentFormat, DocumentInfo, DocumentReport};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// A document that lies on disk.
pub struct DocumentFile {
    /// Where.
    pub path: PathBuf,
    /// Its base name, which decides the document's id.
    pub name: String,
    /// How it is written.
    pub format: DocumentFormat,
}

/// Every document among `paths`, folders searched to the bottom, by path.
///
/// A folder's README is about the folder, not part of it. Folders behind symbolic links are not searched. Two documents of
/// one name would replace each other, so that is an error.
pub fn documents(paths: &[PathBuf]) -> anyhow::Result<Vec<DocumentFile>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            search(path, &mut found)?;
        } else {
            anyhow::ensure!(path.is_file(), "{}: no such file or folder", path.display());
            let file = document(path);
            found.push(file.with_context(|| format!("{}: expected .md, .txt or .csv", path.display()))?);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    anyhow::ensure!(!found.is_empty(), "no documents (.md, .txt, .csv) in {}", paths[0].display());
    let mut names = HashMap::new();
    for file in &found {
        if let Some(other) = names.insert(&file.name, &file.path) {
            let (one, two) = (other.display(), file.path.display());
            anyhow::bail!("{one} and {two} have one name and would replace each other; rename one");
        }
    }
    Ok(found)
}

fn search(folder: &Path, found: &mut Vec<DocumentFile>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_readme = path.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case("readme"));
        if kind.is_dir() {
            search(&path, found)?;
        } else if path.is_file() && !is_readme {
            found.extend(document(&path));
        }
    }
    Ok(())
}

fn document(path: &Path) -> Option<DocumentFile> {
    let name = path.file_name()?.to_str()?.to_string();
    Some(DocumentFile { path: path.to_path_buf(), format: format_of(&name)?, name })
}

/// The format that a file name's ending tells; `None`: not a document.
fn format_of(name: &str) -> Option<DocumentFormat> {
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(DocumentFormat::Markdown),
        "txt" => Some(DocumentFormat::Text),
        "csv" => Some(DocumentFormat::FaqCsv),
        _ => None,
    }
}

/// Sends every document and prints what became of it; fails when one was refused.
pub async fn run(ingest: &Ingest) -> anyhow::Result<()> {
    // HTTPS takes the process's default; a second installation is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().build()?;
    let is_url = reqwest::Url::parse(&ingest.url).is_ok_and(|url| url.has_host());
    anyhow::ensure!(is_url, "--url = {:?}: expected the gateway's address, such as http://127.0.0.1:8080", ingest.url);
    let mut refused = 0;
    for file in documents(&ingest.paths)? {
        match send(&client, ingest, &file).await {
            Ok(report) => print_report(&file, &report)?,
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
        _ => anyhow::bail!("this build does not send the format"),
    };
    let url = format!("{}/v1/documents", ingest.url.trim_end_matches('/'));
    let response = client
        .post(url)
        .query(&[("name", &file.name)])
        .bearer_auth(&ingest.key)
        .header("content-type", media_type)
        .body(tokio::fs::read(&file.path).await?)
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

fn print_report(file: &DocumentFile, report: &DocumentReport) -> anyhow::Result<()> {
    let how = if report.replaced { "replaced" } else { "added" };
    let DocumentInfo { id, passages, .. } = &report.document;
    print(&format!("{}: {how} as {id} in {passages} passages\n", file.path.display()))?;
    report.warnings.iter().try_for_each(|warning| print(&format!("  {warning}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn names(paths: &[PathBuf]) -> anyhow::Result<Vec<String>> {
        Ok(documents(paths)?.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn a_folder_is_searched_without_its_readmes_and_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        symlink(folder.path(), folder.path().join("sub/up")).unwrap();
        for name in ["a.md", "README.md", "sub/b.csv", "sub/c.pdf"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!(names(&[folder.path().into()]).unwrap(), ["a.md", "b.csv"]);
        assert_eq!(names(&[folder.path().join("README.md")]).unwrap(), ["README.md"], "named, it is meant");
        assert!(names(&[folder.path().join("sub/c.pdf")]).unwrap_err().to_string().contains("expected .md"));
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        for name in ["a.md", "sub/a.md"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        assert!(names(&[folder.path().into()]).unwrap_err().to_string().contains("one name"));
    }
}
