//! Where SQLite and MySQL differ.

/// A database's way of saying things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// One file; one writer at a time, which has the whole database.
    Sqlite,
    /// A server (MySQL or MariaDB, InnoDB); writers lock rows.
    MySql,
}

impl Dialect {
    /// What every connection says first.
    pub fn greeting(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA busy_timeout = 10000",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
            ],
            // Rows are locked by name before they are read, so gaps need no locks (and no deadlocks between tenants).
            Self::MySql => {
                &["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET SESSION innodb_lock_wait_timeout = 10"]
            }
        }
    }

    /// Begins a transaction that writes. SQLite must have the lock before it reads what it decides by.
    pub fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::MySql => "START TRANSACTION",
        }
    }

    /// Fills `{for_update}` and `{or_ignore}` of a statement, and the types and options of a table.
    pub fn fill(self, statement: &str) -> String {
        let words: [(&str, &str, &str); 5] = [
            ("{for_update}", "", "FOR UPDATE"),
            ("{or_ignore}", "OR IGNORE", "IGNORE"),
            // Bytes, since InnoDB's text collations take "a" and "a " for the same key.
            ("{name}", "TEXT", "VARBINARY(1024)"),
            ("{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT PRIMARY KEY AUTO_INCREMENT"),
            ("{options}", "", "ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        ];
        words.iter().fold(statement.to_owned(), |text, (word, sqlite, mysql)| {
            text.replace(word, if self == Self::Sqlite { sqlite } else { mysql })
        })
    }

    /// Connections at most. More readers than that do not make SQLite faster.
    pub fn connections(self) -> u32 {
        match self {
            Self::Sqlite => 4,
            Self::MySql => 8,
        }
    }

    /// Of them, those that may write at the same time.
    pub fn writers(self) -> usize {
        match self {
            Self::Sqlite => 1,
            Self::MySql => 6,
        }
    }
}
