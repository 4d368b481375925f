//! Where quotas are counted: the shared store, or while it is lost what the configuration says.
//!
//! One request at most waits [`PATIENCE`] for a server that is gone. It opens the circuit, and from then on nobody asks that
//! server but [`Store::watch`], until it answers.

use super::{
    local::Local,
    quotas::{Bucket, Grant, Hold, Lost, Quotas},
    redis::Shared,
};
use crate::config::OnLoss;
use protocol::TenantId;
use runtime::{Clock, metric};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{error::Elapsed, sleep, timeout};

/// A server that does not answer a question within this time is lost.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often a lost server is asked whether it is back.
const PROBE: Duration = Duration::from_millis(500);
/// A start waits this long for the server.
const START: Duration = Duration::from_secs(3);

/// Counts what tenants use.
pub(crate) struct Store {
    local: Local,
    remote: Option<Remote>,
    /// How often the counting moved from one store to the other: what was taken before counts no more.
    moves: AtomicU64,
}

struct Remote {
    url: String,
    on_loss: OnLoss,
    shared: OnceLock<Shared>,
    lost: AtomicBool,
}

impl Store {
    /// Counts in this process, for it alone.
    pub(crate) fn local(clock: Arc<dyn Clock>) -> Self {
        Self { local: Local::new(clock), remote: None, moves: AtomicU64::new(0) }
    }

    /// Counts in the Redis at `url`. One that does not answer is lost from the start.
    pub(crate) async fn shared(url: &str, on_loss: OnLoss, clock: Arc<dyn Clock>) -> Self {
        let remote = Remote { url: url.into(), on_loss, shared: OnceLock::new(), lost: AtomicBool::new(false) };
        let store = Self { remote: Some(remote), ..Self::local(clock) };
        if let Some(remote) = &store.remote {
            match timeout(START, remote.check()).await {
                Ok(Ok(())) => metrics::gauge!(metric::LIMITS_LOCAL).set(0.0),
                Ok(Err(lost)) => store.lose(remote, &lost.to_string()),
                Err(_) => store.lose(remote, "it cannot be reached"),
            }
        }
        store
    }

    /// Whether each question is a round trip, so that it is worth to take more than is needed.
    pub(crate) fn is_remote(&self) -> bool {
        self.answering().is_some()
    }

    /// How often the counting moved to another store.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// What an operator must know, if anything, and whether requests are served nevertheless.
    pub(crate) fn trouble(&self) -> Option<(&'static str, bool)> {
        let remote = self.remote.as_ref().filter(|remote| remote.lost.load(Ordering::Acquire))?;
        Some(match remote.on_loss {
            OnLoss::Local => ("the store of quotas does not answer: this node counts for itself alone", true),
            OnLoss::Closed => ("the store of quotas does not answer: every request is refused", false),
        })
    }

    /// See [`Quotas::take`]; [`Lost`] only where no request is to pass without the shared store.
    pub(crate) async fn take(&self, bucket: Bucket<'_>, need: u64, want: u64) -> Result<Grant, Lost> {
        if let Some((remote, shared)) = self.answering()
            && let Some(grant) = self.heard(remote, timeout(PATIENCE, shared.take(bucket, need, want)).await)
        {
            return Ok(grant);
        }
        self.fallback()?.take(bucket, need, need).await
    }

    /// See [`Quotas::give`].
    pub(crate) async fn give(&self, bucket: Bucket<'_>, units: i64) -> Result<(), Lost> {
        if let Some((remote, shared)) = self.answering()
            && let Some(()) = self.heard(remote, timeout(PATIENCE, shared.give(bucket, units)).await)
        {
            return Ok(());
        }
        self.fallback()?.give(bucket, units).await
    }

    /// See [`Quotas::slots`].
    pub(crate) async fn slots(&self, tenant: &TenantId, hold: Hold<'_>) -> Result<u32, Lost> {
        if let Some((remote, shared)) = self.answering()
            && let Some(held) = self.heard(remote, timeout(PATIENCE, shared.slots(tenant, hold)).await)
        {
            return Ok(held);
        }
        self.fallback()?.slots(tenant, hold).await
    }

    /// Looks for a lost server until it is back, for ever.
    pub(crate) async fn watch(&self) {
        let Some(remote) = &self.remote else { return std::future::pending().await };
        loop {
            sleep(PROBE).await;
            if remote.lost.load(Ordering::Acquire) && remote.check().await.is_ok() {
                self.moves.fetch_add(1, Ordering::AcqRel);
                remote.lost.store(false, Ordering::Release);
                metrics::gauge!(metric::LIMITS_LOCAL).set(0.0);
                tracing::warn!("the store of quotas answers again: limits hold over all nodes");
            }
        }
    }

    fn answering(&self) -> Option<(&Remote, &Shared)> {
        let remote = self.remote.as_ref().filter(|remote| !remote.lost.load(Ordering::Acquire))?;
        Some((remote, remote.shared.get()?))
    }

    fn heard<T>(&self, remote: &Remote, answer: Result<Result<T, Lost>, Elapsed>) -> Option<T> {
        match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(lost)) => self.lose(remote, &lost.to_string()),
            Err(_) => self.lose(remote, "it took too long to answer"),
        }
        None
    }

    fn lose(&self, remote: &Remote, why: &str) {
        if remote.lost.swap(true, Ordering::AcqRel) {
            return;
        }
        self.moves.fetch_add(1, Ordering::AcqRel);
        let local = remote.on_loss == OnLoss::Local;
        metrics::gauge!(metric::LIMITS_LOCAL).set(if local { 1.0 } else { 0.0 });
        let what = self.trouble().map(|(what, _)| what).unwrap_or_default();
        tracing::error!(why, "{what}");
    }

    fn fallback(&self) -> Result<&Local, Lost> {
        match &self.remote {
            Some(Remote { on_loss: OnLoss::Closed, .. }) => Err(Lost("the store of quotas does not answer".into())),
            _ => Ok(&self.local),
        }
    }
}

impl Remote {
    /// Whether it answers; connects to it if that has not been possible before.
    async fn check(&self) -> Result<(), Lost> {
        if self.shared.get().is_none() {
            let _ = self.shared.set(Shared::connect(&self.url, PATIENCE).await?);
        }
        match self.shared.get() {
            Some(shared) => timeout(PATIENCE, shared.check()).await.map_err(|_| Lost("no answer".into()))?,
            None => Err(Lost("no connection".into())),
        }
    }
}
