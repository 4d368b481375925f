//! What goes wrong inside a transaction, and what may be tried again.

use crate::CatalogError;
use sqlx::{Error, error::DatabaseError, mysql::MySqlDatabaseError};
use std::{future::Future, time::Duration};

/// Tries of a transaction that others kept from its locks.
const TRIES: u32 = 6;

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The answer is no.
    Said(CatalogError),
    /// The database's own trouble.
    Sql(Error),
}

impl From<CatalogError> for Fault {
    fn from(error: CatalogError) -> Self {
        Self::Said(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for CatalogError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Said(error) => error,
            Fault::Sql(error @ (Error::ColumnDecode { .. } | Error::ColumnNotFound(_) | Error::Decode(_))) => {
                Self::Unusable(format!("it holds what Frontdesk did not write: {error}"))
            }
            Fault::Sql(Error::PoolTimedOut) => {
                Self::Unavailable("what catalog.url names gave no connection, or has too many writers".into())
            }
            Fault::Sql(error) if is_full(&error) => {
                Self::Unavailable("no room is left where catalog.url points to; free some".into())
            }
            Fault::Sql(error) if is_damaged(&error) => Self::Unusable(error.to_string()),
            Fault::Sql(error) => Self::Unavailable(error.to_string()),
        }
    }
}

/// Runs a transaction, and again while it only lost a race for locks. What it read and wrote before was rolled back.
pub(super) async fn retried<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, CatalogError>
where
    F: Future<Output = Result<T, Fault>>,
{
    for tried in 1..TRIES {
        match attempt().await {
            Err(Fault::Sql(error)) if lost_race(&error) => {
                tracing::debug!(%error, tried, "the catalogue tries again");
                tokio::time::sleep(Duration::from_millis(10 << tried)).await;
            }
            done => return done.map_err(CatalogError::from),
        }
    }
    attempt().await.map_err(CatalogError::from)
}

/// Why a database cannot be opened.
pub(super) fn at_connect(error: &Error) -> CatalogError {
    let text = format!("catalog.url: {error}");
    let ours = matches!(error, Error::Configuration(_)) || is_damaged(error);
    if ours { CatalogError::Unusable(text) } else { CatalogError::Unavailable(text) }
}

/// Deadlock, lock wait timeout, record changed since last read (MySQL); busy, locked (SQLite).
fn lost_race(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| match mysql(error) {
        Some(number) => matches!(number, 1213 | 1205 | 1020),
        None => matches!(sqlite(error), Some(5 | 6)),
    })
}

/// Corrupt, or no database at all (SQLite).
fn is_damaged(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| mysql(error).is_none() && matches!(sqlite(error), Some(11 | 26)))
}

/// Its disk (SQLite), or a table (MySQL).
fn is_full(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| match mysql(error) {
        Some(number) => matches!(number, 1021 | 1114),
        None => sqlite(error) == Some(13),
    })
}

fn mysql(error: &dyn DatabaseError) -> Option<u16> {
    error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

/// SQLite's primary result code.
fn sqlite(error: &dyn DatabaseError) -> Option<u32> {
    Some(error.code()?.parse::<u32>().ok()? & 0xff)
}
