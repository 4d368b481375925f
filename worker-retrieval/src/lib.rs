//! Finds what a tenant knows: chunking, embedding, the search index, fusion and ingest.
//!
//! A document's bytes are [`read`], its text becomes [`chunk`]s (or [`faq`] rows), each is [`embed`]ded and the [`index`]
//! takes them in one commit. A question is embedded, the index ranks by words and by meaning, and [`fuse`] makes one ranking of both.
//!
//! Everything below [`Retrieval::run`] blocks and runs on blocking threads. Searches read snapshots and wait for no
//! ingest; the jobs on one tenant's documents are done one after another, in the order in which they came.

mod analyzer;
pub mod calibrate;
pub mod chunk;
pub mod config;
pub mod embed;
pub mod eval;
pub mod faq;
pub mod faq_engine;
pub mod fuse;
pub mod index;
mod ingest;
mod knowledge;
mod lanes;
pub mod rank;
pub mod read;
pub mod rerank;
mod retrieval;
mod search;
mod segment;
mod space;
mod worker;

pub use config::{Config, Dirs};
pub use knowledge::Stores;
pub use retrieval::{OpenError, Retrieval};
pub use search::Looked;
