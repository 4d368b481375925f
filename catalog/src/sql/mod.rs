//! The catalogue in an SQL database. The same statements run on SQLite and on MySQL; [`Dialect`] has the rest.
//!
//! Whoever changes a tenant's knowledge first locks the tenant's row of `knowledge`, and an ingest's row before its staged
//! documents, so that decisions hold until the commit. Readers lock nothing: one statement sees one state.

mod build;
mod dialect;
mod fault;
mod ingests;
mod insert;
mod questions;
mod rows;
mod schema;
mod versions;

use crate::CatalogError;
use dialect::Dialect;
use fault::{Fault, retried};
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor, Transaction, any::AnyPoolOptions};
use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Once},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

static DRIVERS: Once = Once::new();

/// How long a transaction waits for those before it, and the start for the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a statement waits for a connection: a server that is down is told soon.
const CONNECTION: Duration = Duration::from_secs(3);

/// A catalogue in SQLite or MySQL.
pub(crate) struct Sql {
    pool: AnyPool,
    dialect: Dialect,
    /// Those who may write now. They leave connections to readers, and SQLite's writers wait here rather than in its file.
    writers: Arc<Semaphore>,
}

impl Sql {
    /// Opens a file, which is made if there is none.
    pub async fn sqlite(file: &Path) -> Result<Self, CatalogError> {
        let file = std::path::absolute(file)
            .and_then(|file| file.parent().map_or(Ok(()), std::fs::create_dir_all).map(|()| file))
            .map_err(|error| CatalogError::Unavailable(format!("catalog.url: {}: {error}", file.display())))?;
        let text =
            file.to_str().ok_or_else(|| CatalogError::Unusable("catalog.url: a name that is not UTF-8".into()))?;
        Self::open(&format!("sqlite:{}?mode=rwc", escaped(text)), Dialect::Sqlite).await
    }

    /// Connects to a server.
    pub async fn mysql(url: &str) -> Result<Self, CatalogError> {
        Self::open(url, Dialect::MySql).await
    }

    async fn open(url: &str, dialect: Dialect) -> Result<Self, CatalogError> {
        DRIVERS.call_once(|| {
            // Somebody else's drivers would be these too.
            let _ = sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::mysql::any::DRIVER]);
        });
        // The pool would try again and again, and then not say what is wrong.
        reach(url, dialect).await?;
        let pool = AnyPoolOptions::new().max_connections(dialect.connections()).acquire_timeout(CONNECTION);
        let pool = pool.after_connect(move |connection, _| Box::pin(greet(connection, dialect)));
        // SQLite ends a transaction by itself when its disk is full; sqlx does not notice, and the connection is of no use.
        let pool = pool.before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        });
        let pool = pool.connect_lazy(url).map_err(|error| fault::at_connect(&error))?;
        let sql = Self { pool, dialect, writers: Arc::new(Semaphore::new(dialect.writers())) };
        retried(|| schema::migrate(&sql)).await?;
        Ok(sql)
    }

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<Tx, Fault> {
        let turn = tokio::time::timeout(PATIENCE, self.writers.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut)?;
        Ok(Tx { transaction: self.pool.begin_with(self.dialect.begin()).await?, turn })
    }
}

/// A transaction that writes; dropped before [`Tx::commit`], it changes nothing.
struct Tx {
    transaction: Transaction<'static, Any>,
    turn: OwnedSemaphorePermit,
}

impl Tx {
    async fn commit(self) -> Result<(), Fault> {
        let done = self.transaction.commit().await;
        drop(self.turn);
        Ok(done?)
    }
}

impl Deref for Tx {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

async fn reach(url: &str, dialect: Dialect) -> Result<(), CatalogError> {
    let connected = async {
        let mut connection = AnyConnection::connect(url).await?;
        greet(&mut connection, dialect).await?;
        connection.close().await
    };
    match tokio::time::timeout(PATIENCE, connected).await {
        Ok(done) => done.map_err(|error| fault::at_connect(&error)),
        Err(_) => Err(CatalogError::Unavailable(format!("catalog.url: no answer in {} s", PATIENCE.as_secs()))),
    }
}

async fn greet(connection: &mut AnyConnection, dialect: Dialect) -> sqlx::Result<()> {
    for statement in dialect.greeting() {
        connection.execute(*statement).await?;
    }
    Ok(())
}

/// A path as part of a URL.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
