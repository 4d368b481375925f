//! What is known of each tenant's knowledge, and the originals of its documents.
//!
//! The [`Catalog`] knows documents, versions, ingests, curated answers and unanswered questions; the [`Archive`] keeps the
//! originals, and what was prepared from them. Every search index can be built anew from these two.
//!
//! A tenant's knowledge is a sequence of versions. A document row is part of the versions from `added` on and below
//! `removed`, so that a version costs what it changes, and an earlier one can be served again at once. One build runs per
//! tenant: it holds the tenant's [`Build`], whose number no other version ever had, and nothing that it writes is seen
//! before [`Catalog::publish`] serves its version.

mod archive;
mod bucket;
mod catalog;
mod connect;
mod objects;
mod sql;
mod words;

pub use archive::{Archive, ArchiveError, Key, keep};
pub use bucket::Bucket;
pub use catalog::{Catalog, CatalogError, Ingests, Questions, Versions};
pub use connect::{connect, connect_archive, connect_archive_with};
pub use words::{Build, Change, Document, FaqEntry, Ingest, Question, Staged, Work};
