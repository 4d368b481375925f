//! What both backends count.

use crate::{BrokerError, metric};

/// Counts one publication to `queue`; every node's reply queue counts as `replies`, so that labels stay few.
pub(super) fn published(queue: &str, result: &Result<(), BrokerError>) {
    let result = match result {
        Ok(()) => "ok",
        Err(BrokerError::Full(_)) => "full",
        Err(BrokerError::TooLarge(_)) => "too_large",
        Err(BrokerError::Unroutable(_)) => "unroutable",
        Err(BrokerError::Unavailable(_) | BrokerError::Misconfigured(_)) => "unavailable",
    };
    let queue = if queue.starts_with("replies.") { "replies" } else { queue };
    metrics::counter!(metric::PUBLISHED, "queue" => queue.to_owned(), "result" => result).increment(1);
}

/// Counts one settled delivery; `how` is `ack`, `requeue` or `dead_letter`.
pub(super) fn settled(queue: &str, how: &'static str) {
    metrics::counter!(metric::SETTLED, "queue" => queue.to_owned(), "how" => how).increment(1);
}
