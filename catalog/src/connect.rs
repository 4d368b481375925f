//! The URLs of the catalogue and of the archive.

use crate::{Archive, ArchiveError, Bucket, Catalog, CatalogError, objects::Objects, sql::Sql};
use std::{path::Path, sync::Arc};

/// Opens the catalogue at `url`: `sqlite:` (the file `catalog.db` of `data_dir`), `sqlite:<file>` or
/// `mysql://<user>:<password>@<host>/<database>` (MySQL 8 or MariaDB 10.5 and later). Its tables are made or brought up to date.
///
/// # Errors
/// [`CatalogError::Unusable`]: the URL is none of these, or the database is damaged or of a newer build.
/// [`CatalogError::Unavailable`]: it does not answer, or cannot be made.
pub async fn connect(url: &str, data_dir: &Path) -> Result<Arc<dyn Catalog>, CatalogError> {
    let sql = match url.split_once(':') {
        Some(("sqlite", "")) => Sql::sqlite(&data_dir.join("catalog.db")).await?,
        Some(("sqlite", file)) => Sql::sqlite(Path::new(file)).await?,
        Some(("mysql", server)) if names_a_database(server) => Sql::mysql(url).await?,
        _ => {
            let text =
                "catalog.url must be \"sqlite:\", \"sqlite:<file>\" or \"mysql://<user>:<password>@<host>/<database>\"";
            return Err(CatalogError::Unusable(text.into()));
        }
    };
    Ok(Arc::new(sql))
}

/// Opens the archive at `url`: `file:` (the directory `archive` of `data_dir`), `file:<directory>`, `s3://<bucket>` or
/// `s3://<bucket>/<prefix>`, a bucket as the usual variables `AWS_*` of the environment describe it.
///
/// # Errors
/// See [`connect_archive_with`].
pub fn connect_archive(url: &str, data_dir: &Path) -> Result<Arc<dyn Archive>, ArchiveError> {
    connect_archive_with(url, data_dir, &Bucket::default())
}

/// Opens the archive at `url` as [`connect_archive`] does; what `bucket` says goes before the environment.
///
/// # Errors
/// [`ArchiveError::Unavailable`]: the URL is none of these, or the directory cannot be made. Whether a bucket can be reached
/// is found out by [`Archive::check`].
pub fn connect_archive_with(url: &str, data_dir: &Path, bucket: &Bucket) -> Result<Arc<dyn Archive>, ArchiveError> {
    let objects = match url.split_once(':') {
        Some(("file", "")) => Objects::directory(&data_dir.join("archive"))?,
        Some(("file", directory)) => Objects::directory(Path::new(directory))?,
        Some(("s3", place)) if place.len() > 2 && place.starts_with("//") => {
            let (name, prefix) = place[2..].split_once('/').unwrap_or((&place[2..], ""));
            Objects::new(bucket.open(name, prefix)?)
        }
        _ => {
            let text = "archive.url must be \"file:\", \"file:<directory>\" or \"s3://<bucket>/<prefix>\"";
            return Err(ArchiveError::Unavailable(text.into()));
        }
    };
    Ok(Arc::new(objects))
}

/// Whether `//<server>/<database>` has both.
fn names_a_database(server: &str) -> bool {
    let parts = server.strip_prefix("//").and_then(|server| server.split_once('/'));
    parts.is_some_and(|(host, name)| !host.is_empty() && !name.is_empty() && !name.starts_with('?'))
}
