//! What a load costs: memory and processor time of a process, bytes in Redis, messages at the broker.

use super::{asker::Server, wire::Connection};
use crate::bench::process::Process;
use anyhow::{Context, ensure};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
/// Every role counts what it publishes.
const PUBLISHED: &str = runtime::metric::PUBLISHED;

/// A server's process on this machine.
pub struct Watched {
    pid: u32,
    process: Process,
}

impl Watched {
    pub fn new(pid: u32) -> anyhow::Result<Self> {
        let process = Process::of(pid)?;
        let watched = Self { pid, process };
        watched.memory().with_context(|| format!("the memory of process {pid}"))?;
        Ok(watched)
    }

    /// Seconds that it has computed.
    pub fn seconds(&self) -> Option<f64> {
        self.process.seconds()
    }

    /// Bytes that it has in memory (resident set).
    pub fn memory(&self) -> Option<f64> {
        field(&format!("/proc/{}/status", self.pid), "VmRSS:").map(|kib| kib * 1024.0)
    }

    /// How many files and sockets it may open.
    pub fn files(&self) -> Option<f64> {
        field(&format!("/proc/{}/limits", self.pid), "Max open files")
    }
}

/// How many files and sockets this process may open.
pub fn own_files() -> Option<f64> {
    field("/proc/self/limits", "Max open files")
}

/// The first number after `name` in a file of `/proc`.
fn field(file: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Where Redis and the roles can be asked.
#[derive(Default)]
pub struct Ports {
    pub redis: Option<redis::aio::ConnectionManager>,
    pub metrics: Vec<Server>,
}

/// What was counted up to a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counted {
    /// Bytes that lie in Redis.
    pub stored: Option<f64>,
    /// Bytes to and from Redis.
    pub moved: Option<f64>,
    /// Messages that were published.
    pub published: Option<f64>,
}

impl Ports {
    pub async fn open(redis: Option<&str>, metrics: &[String]) -> anyhow::Result<Self> {
        let redis = match redis {
            Some(url) => Some(runtime::redis::connect(url, PATIENCE).await.context("--redis")?),
            None => None,
        };
        let metrics = metrics.iter().map(|url| Server::new("--metrics", url, "", "", false));
        Ok(Self { redis, metrics: metrics.collect::<Result<_, _>>()? })
    }

    /// What was counted up to now.
    pub async fn counted(&mut self) -> anyhow::Result<Counted> {
        let mut counted = Counted::default();
        if let Some(redis) = &mut self.redis {
            let info: String = redis::cmd("INFO").query_async(redis).await.context("--redis")?;
            let number = |name: &str| info_number(&info, name);
            counted.stored = number("used_memory");
            counted.moved = number("total_net_input_bytes").zip(number("total_net_output_bytes")).map(|(a, b)| a + b);
        }
        for server in &self.metrics {
            let mut connection = Connection::open(server.address).await.context("--metrics")?;
            let reply = connection.ask(&server.request("GET", "/metrics", "")).await.context("--metrics")?;
            ensure!(reply.status == 200, "--metrics: status {}", reply.status);
            let sum = sum(&String::from_utf8_lossy(&reply.body), PUBLISHED);
            counted.published = Some(counted.published.unwrap_or_default() + sum);
        }
        Ok(counted)
    }
}

impl Counted {
    /// What came between `before` and this, for each of `turns`.
    pub fn since(self, before: Self, turns: f64) -> Self {
        let each = |now: Option<f64>, before: Option<f64>| Some((now? - before?) / turns);
        Self {
            stored: each(self.stored, before.stored),
            moved: each(self.moved, before.moved),
            published: each(self.published, before.published),
        }
    }
}

fn info_number(info: &str, name: &str) -> Option<f64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line?.trim().parse().ok()
}

/// All of a metric's values, whatever their labels.
pub fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
    values.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_labels_and_numbers_found_by_their_whole_name() {
        let text = "# TYPE n counter\nn{queue=\"a b\"} 2\nn{queue=\"c\"} 3\nn_more{x=\"y\"} 9\nn 1\n";
        assert_eq!(sum(text, "n"), 6.0);
        assert_eq!(info_number("used_memory_rss:7\r\nused_memory:5\r\n", "used_memory"), Some(5.0));
    }

    #[test]
    fn this_process_has_memory_and_a_limit() {
        let own = Watched::new(std::process::id()).unwrap();
        assert!(own.memory().unwrap() > 1e6 && own.files().unwrap() >= 16.0 && own_files() == own.files());
    }

    #[test]
    fn what_nobody_counted_stays_unknown() {
        let before = Counted { stored: Some(100.0), ..Counted::default() };
        let after = Counted { stored: Some(300.0), moved: Some(1.0), published: None };
        assert_eq!(after.since(before, 4.0), Counted { stored: Some(50.0), ..Counted::default() });
    }
}
