//! Retrieval as its users meet it: the index's contract, the worker on its queues, and the real embedder.
#![expect(clippy::unwrap_used, reason = "tests")]

mod index_contract;
mod index_embedded;
mod index_meilisearch;
mod knowledge;
mod model;
mod support;
mod worker;

fn tenant(name: &str) -> protocol::TenantId {
    protocol::TenantId::parse(name).unwrap()
}
