//! Retrieval as its users meet it: the index's contract, the worker on its queues, and the real embedder.
#![expect(clippy::unwrap_used, reason = "tests")]

mod index_contract;
mod model;
mod worker;

use protocol::TenantId;
use runtime::clock::ManualClock;
use std::{path::Path, sync::Arc};
use worker_retrieval::{Config, Dirs, Retrieval};

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// A retrieval in `data` with the embedder that needs no model.
fn hashing(data: &Path) -> Retrieval {
    let config = Config { embedder: "hashing:".into(), ..Config::default() };
    let dirs = Dirs { data: data.into(), models: data.into() };
    Retrieval::open(&config, &dirs, Arc::new(ManualClock::at(1_000))).unwrap()
}
