//! The tables, and how a database gets them.

use super::{Dialect, Fault, Sql};
use crate::CatalogError;
use sqlx::{AnyConnection, AssertSqlSafe, Row, mysql::MySqlDatabaseError};

/// One statement per step. A database counts the steps that it has taken: never change one, only append.
///
/// A document is part of the versions from `added` on and below `removed`, which is the greatest integer until then, and
/// `added` if the version that brought it is gone.
/// `build` is the version that is built, or 0; `latest` is the highest number that was ever given to a build.
const STEPS: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS knowledge (tenant VARCHAR(64) NOT NULL PRIMARY KEY, served BIGINT NOT NULL,
        latest BIGINT NOT NULL, build BIGINT NOT NULL, base BIGINT NOT NULL, expires BIGINT NOT NULL) {options}",
    "CREATE TABLE IF NOT EXISTS versions (tenant VARCHAR(64) NOT NULL, version BIGINT NOT NULL, base BIGINT NOT NULL,
        published BIGINT NOT NULL, embedder TEXT NOT NULL, documents BIGINT NOT NULL, passages BIGINT NOT NULL,
        PRIMARY KEY (tenant, version)) {options}",
    "CREATE TABLE IF NOT EXISTS documents (tenant VARCHAR(64) NOT NULL, document VARCHAR(128) NOT NULL,
        added BIGINT NOT NULL, removed BIGINT NOT NULL, name {name} NOT NULL, title LONGTEXT NOT NULL,
        format VARCHAR(32) NOT NULL, original VARCHAR(64) NOT NULL, bytes BIGINT NOT NULL, passages BIGINT NOT NULL,
        recipe TEXT NOT NULL, PRIMARY KEY (tenant, document, added)) {options}",
    "CREATE INDEX documents_original ON documents (tenant, original)",
    "CREATE INDEX documents_removed ON documents (tenant, removed)",
    "CREATE TABLE IF NOT EXISTS faq (tenant VARCHAR(64) NOT NULL, document VARCHAR(128) NOT NULL, added BIGINT NOT NULL,
        position BIGINT NOT NULL, question LONGTEXT NOT NULL, variants LONGTEXT NOT NULL, answer LONGTEXT NOT NULL,
        dimensions BIGINT NOT NULL, vectors LONGBLOB NOT NULL, PRIMARY KEY (tenant, document, added, position),
        FOREIGN KEY (tenant, document, added) REFERENCES documents (tenant, document, added) ON DELETE CASCADE)
        {options}",
    "CREATE TABLE IF NOT EXISTS ingests (tenant VARCHAR(64) NOT NULL, ingest VARCHAR(64) NOT NULL,
        state VARCHAR(32) NOT NULL, version BIGINT NOT NULL, removed BIGINT NOT NULL, begun BIGINT NOT NULL,
        PRIMARY KEY (tenant, ingest)) {options}",
    "CREATE TABLE IF NOT EXISTS staged (tenant VARCHAR(64) NOT NULL, ingest VARCHAR(64) NOT NULL, name {name} NOT NULL,
        document VARCHAR(128) NOT NULL, title LONGTEXT NOT NULL, format VARCHAR(32) NOT NULL,
        original VARCHAR(64) NOT NULL, bytes BIGINT NOT NULL, passages BIGINT NOT NULL, recipe TEXT NOT NULL,
        warnings LONGTEXT NOT NULL, failure LONGTEXT NOT NULL, outcome VARCHAR(32) NOT NULL,
        PRIMARY KEY (tenant, ingest, name),
        FOREIGN KEY (tenant, ingest) REFERENCES ingests (tenant, ingest) ON DELETE CASCADE) {options}",
    "CREATE INDEX staged_original ON staged (tenant, original)",
    "CREATE TABLE IF NOT EXISTS questions (id {serial}, tenant VARCHAR(64) NOT NULL, asked BIGINT NOT NULL,
        question LONGTEXT NOT NULL, lang VARCHAR(8) NOT NULL, confidence DOUBLE NOT NULL, quantized LONGTEXT NOT NULL,
        embedder TEXT NOT NULL) {options}",
    "CREATE INDEX questions_asked ON questions (tenant, asked, id)",
];

const LOCK: &str = "frontdesk_catalog_schema";

/// Brings a database up to this build's schema; one of a newer build is refused.
pub(super) async fn migrate(sql: &Sql) -> Result<(), Fault> {
    match sql.dialect {
        Dialect::Sqlite => {
            let mut tx = sql.begin().await?;
            steps(sql.dialect, &mut tx).await?;
            tx.commit().await
        }
        // Here each change of a table commits by itself, so that a named lock keeps the builds apart.
        Dialect::MySql => {
            let mut connection = sql.pool.acquire().await?;
            let got = sqlx::query("SELECT GET_LOCK(?, 30) AS got").bind(LOCK).fetch_one(&mut *connection).await?;
            if got.try_get::<i64, _>("got").ok() != Some(1) {
                return Err(CatalogError::Unavailable("another process changes its tables".into()).into());
            }
            let done = steps(sql.dialect, &mut connection).await;
            sqlx::query("DO RELEASE_LOCK(?)").bind(LOCK).execute(&mut *connection).await?;
            done
        }
    }
}

async fn steps(dialect: Dialect, connection: &mut AnyConnection) -> Result<(), Fault> {
    let table = "CREATE TABLE IF NOT EXISTS catalog_schema (steps BIGINT NOT NULL PRIMARY KEY) {options}";
    sqlx::query(AssertSqlSafe(dialect.fill(table))).execute(&mut *connection).await?;
    let row = sqlx::query("SELECT COALESCE(MAX(steps), 0) AS steps FROM catalog_schema").fetch_one(&mut *connection);
    let taken = usize::try_from(row.await?.try_get::<i64, _>("steps")?).unwrap_or(usize::MAX);
    if taken > STEPS.len() {
        let text =
            "the database of catalog.url was written by a newer Frontdesk; run that one, or name another database";
        return Err(CatalogError::Unusable(text.into()).into());
    }
    for (step, statement) in STEPS.iter().enumerate().skip(taken) {
        let done = sqlx::query(AssertSqlSafe(dialect.fill(statement))).execute(&mut *connection).await;
        done.map(drop).or_else(|error| if is_there(&error) { Ok(()) } else { Err(error) })?;
        let steps = i64::try_from(step + 1).unwrap_or(i64::MAX);
        sqlx::query("INSERT INTO catalog_schema (steps) VALUES (?)").bind(steps).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whether the step was taken before but not counted, as MySQL cannot do both at once.
fn is_there(error: &sqlx::Error) -> bool {
    let mysql = error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    mysql.is_some_and(|error| error.number() == 1061)
}
