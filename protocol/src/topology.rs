//! Queues and exchanges as data; every broker declares exactly these.

use crate::{NodeId, WorkerId};

/// A durable queue that workers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkQueue {
    /// Its name.
    pub name: &'static str,
    /// Messages it holds at most; one more is refused to its publisher.
    pub max_length: u32,
}

/// Jobs for GPU workers.
pub const INFERENCE: WorkQueue = WorkQueue { name: "q.inference", max_length: 20_000 };
/// Jobs for retrieval workers.
pub const RETRIEVAL: WorkQueue = WorkQueue { name: "q.retrieval", max_length: 20_000 };
/// Jobs on documents, for retrieval workers.
pub const INGEST: WorkQueue = WorkQueue { name: "q.ingest", max_length: 20_000 };
/// Every work queue.
pub const WORK_QUEUES: &[WorkQueue] = &[INFERENCE, RETRIEVAL, INGEST];
/// Where a job goes whose deliveries or time ran out.
pub const DEAD_LETTERS: &str = "q.dead";
/// Dead letters kept at most; the oldest go first.
pub const DEAD_LETTERS_MAX: u32 = 10_000;
/// A job is redelivered at most this many times before it becomes a dead letter.
pub const DELIVERY_LIMIT: u32 = 3;
/// A GPU worker's own queue beside [`INFERENCE`], for jobs whose prefix that worker's cache holds.
///
/// A job that waits there for `ttl_ms`, that its worker sends on, or whose worker dies goes to the end of [`INFERENCE`];
/// only in the last case is that its next attempt. The queue outlives its worker by [`OWN_EXPIRES_MS`] and is then deleted
/// with what is in it. That is nothing: a session sends to the worker of a job for at most [`AFFINITY_MAX_AGE_MS`] after
/// it published that job, so the last one has left the queue long before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnQueue {
    /// Its name.
    pub name: String,
    /// Milliseconds that a job waits there at most.
    pub ttl_ms: u32,
}

impl OwnQueue {
    /// The queue of `worker`.
    pub fn of(worker: &WorkerId, ttl_ms: u32) -> Self {
        Self { name: own(worker), ttl_ms }
    }
}

/// The name of the queue that `worker` owns.
pub fn own(worker: &WorkerId) -> String {
    format!("{}.{worker}", INFERENCE.name)
}

/// Whether `queue` is a worker's own.
pub fn is_own(queue: &str) -> bool {
    queue.strip_prefix(INFERENCE.name).is_some_and(|rest| rest.starts_with('.'))
}

/// The direct exchange through which jobs reach a worker's own queue; a worker that leaves unbinds its queue, which is
/// then no longer found.
pub const AFFINITY: &str = "x.affinity";
/// Jobs that a worker's own queue holds at most; one more is refused to its publisher.
pub const OWN_MAX: u32 = 1000;
/// The longest that a job may wait in a worker's own queue.
pub const OWN_TTL_MAX_MS: u32 = 60_000;
/// After this time nothing is sent to the worker of an earlier job.
pub const AFFINITY_MAX_AGE_MS: u64 = 30 * 60 * 1000;
/// A worker's own queue that nobody reads is deleted after this time, which leaves half an hour for clocks that differ.
pub const OWN_EXPIRES_MS: u32 = 61 * 60 * 1000;
/// The fanout exchange of [`crate::Cancel`].
pub const CANCEL: &str = "x.cancel";
/// The fanout exchange of [`crate::KnowledgeNews`].
pub const KNOWLEDGE: &str = "x.knowledge";
/// Frames that a node's reply queue holds at most.
pub const REPLIES_MAX: u32 = 100_000;

/// The queue on which `node` is asked by other nodes, and answered.
pub fn peers(node: &NodeId) -> String {
    format!("peers.{node}")
}

/// The queue on which `node` takes replies.
pub fn replies(node: &NodeId) -> String {
    format!("replies.{node}")
}
