//! Section `[gateway]`.

use crate::{Upstream, passthrough};
use runtime::config::Problem;
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// A document is held whole while it is taken.
const DOCUMENT_MAX: usize = 256 << 20;

/// Section `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Threads that serve connections.
    pub workers: usize,
    /// Largest JSON body and WebSocket frame in bytes.
    pub max_body_bytes: usize,
    /// Largest document in bytes.
    pub max_document_bytes: usize,
    /// A request's head must arrive within this time, and then its body; documents get a second more per 64 KiB.
    pub read_timeout_ms: u64,
    /// Silence on a stream before a keep-alive, until the first event; ten times as long afterwards.
    pub keep_alive_ms: u64,
    /// A reader that takes nothing of what waits for it for this long is cut; it may resume where it was. On systems other than
    /// Linux, event streams are left to the system's own patience.
    pub slow_reader_ms: u64,
    /// Connections open at once; more wait to be accepted.
    pub max_connections: usize,
    /// On shutdown, streams may finish within this time.
    pub drain_ms: u64,
    /// On shutdown, `/readyz` tells of it for this long before connections are refused; part of `drain_ms`.
    pub drain_notice_ms: u64,
    /// Where quotas are counted: `memory:`, each node for itself, or `redis://…` for all nodes that share it; empty: where
    /// `session.store` is.
    pub limits_store: String,
    /// What happens while that Redis does not answer.
    pub limits_on_loss: OnLoss,
    /// The engine's own name of its model, offered beside `frontdesk`; empty: not offered.
    pub model: String,
    /// Models that OpenAI-compatible servers answer directly, without broker and session.
    pub upstreams: Vec<Upstream>,
}

/// What happens to quotas while their store is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// Each node allows a tenant its whole limit.
    Local,
    /// Every request is refused.
    Closed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            workers: 2,
            max_body_bytes: 256 << 10,
            max_document_bytes: 32_000_000,
            read_timeout_ms: 10_000,
            keep_alive_ms: 1_000,
            slow_reader_ms: 20_000,
            max_connections: 25_000,
            drain_ms: 30_000,
            drain_notice_ms: 0,
            limits_store: String::new(),
            limits_on_loss: OnLoss::Local,
            model: String::new(),
            upstreams: Vec::new(),
        }
    }
}

impl Config {
    /// What is wrong with the values.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = [
            Problem::out_of_range("gateway.workers", self.workers, 1, 1024),
            Problem::out_of_range("gateway.max_body_bytes", self.max_body_bytes, 1 << 10, 16 << 20),
            Problem::out_of_range("gateway.max_document_bytes", self.max_document_bytes, 1 << 10, DOCUMENT_MAX),
            Problem::out_of_range("gateway.read_timeout_ms", self.read_timeout_ms, 10, 600_000),
            Problem::out_of_range("gateway.keep_alive_ms", self.keep_alive_ms, 10, 60_000),
            Problem::out_of_range("gateway.max_connections", self.max_connections, self.workers, 10_000_000),
            Problem::out_of_range("gateway.slow_reader_ms", self.slow_reader_ms, 100, 600_000),
            Problem::out_of_range("gateway.drain_ms", self.drain_ms, 0, 3_600_000),
            Problem::out_of_range("gateway.drain_notice_ms", self.drain_notice_ms, 0, self.drain_ms),
        ]
        .into_iter()
        .flatten()
        .collect();
        let known = ["memory:", "redis://", "rediss://"];
        if !self.limits_store.is_empty() && !known.iter().any(|scheme| self.limits_store.starts_with(scheme)) {
            let shown = runtime::config::redact(&self.limits_store);
            problems.push(Problem::new("gateway.limits_store", shown, "memory:, redis://host:port/db, or nothing"));
        }
        if self.model == crate::openai::ASSISTANT {
            problems.push(Problem::new("gateway.model", &self.model, "another name: this one is the assistant's"));
        }
        problems.extend(passthrough::problems(&self.upstreams, [crate::openai::ASSISTANT, &self.model]));
        problems
    }

    /// The Redis that counts quotas; `None`: this process does.
    pub(crate) fn limits_url<'a>(&'a self, sessions: &'a str) -> Option<&'a str> {
        let url = if self.limits_store.is_empty() { sessions } else { &self.limits_store };
        url.starts_with("redis").then_some(url)
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    pub(crate) fn slow_reader(&self) -> Duration {
        Duration::from_millis(self.slow_reader_ms)
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound_and_a_problem_names_its_key() {
        assert_eq!(Config::default().problems(), []);
        let (model, limits_store) = ("frontdesk".into(), "mysql://".into());
        let config = Config { workers: 0, model, limits_store, ..Config::default() };
        let keys: Vec<_> = config.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["gateway.workers", "gateway.limits_store", "gateway.model"]);
    }
}
