//! Queues and exchanges as data; every broker declares exactly these.

use crate::NodeId;

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
/// The fanout exchange of [`crate::Cancel`].
pub const CANCEL: &str = "x.cancel";
/// Frames that a node's reply queue holds at most.
pub const REPLIES_MAX: u32 = 100_000;

/// The queue on which `node` takes replies.
pub fn replies(node: &NodeId) -> String {
    format!("replies.{node}")
}
