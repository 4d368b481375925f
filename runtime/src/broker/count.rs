//! What both backends count.

use crate::{BrokerError, metric};
use protocol::topology;

/// A label for `queue`; all nodes' reply queues share one, as do all workers' own queues, so that labels stay few.
fn label(queue: &str) -> String {
    match queue {
        _ if queue.starts_with("replies.") => "replies".into(),
        _ if topology::is_own(queue) => format!("{}.*", topology::INFERENCE.name),
        _ => queue.into(),
    }
}

/// Counts one publication to `queue`.
pub(super) fn published(queue: &str, result: &Result<(), BrokerError>) {
    let result = match result {
        Ok(()) => "ok",
        Err(BrokerError::Full(_)) => "full",
        Err(BrokerError::TooLarge(_)) => "too_large",
        Err(BrokerError::Unroutable(_)) => "unroutable",
        Err(BrokerError::Unavailable(_) | BrokerError::Misconfigured(_)) => "unavailable",
    };
    metrics::counter!(metric::PUBLISHED, "queue" => label(queue), "result" => result).increment(1);
}

/// Counts one settled delivery; `how` is `ack`, `requeue`, `send_on` or `dead_letter`.
pub(super) fn settled(queue: &str, how: &'static str) {
    metrics::counter!(metric::SETTLED, "queue" => label(queue), "how" => how).increment(1);
}
