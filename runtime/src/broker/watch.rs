//! Whether the broker answers, for `/readyz`, and how many dead letters it has.

use crate::{Context, metric};
use protocol::topology::DEAD_LETTERS;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The part's name on `/readyz`.
const PART: &str = "broker";
const PAUSE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the broker every few seconds and tells `context.health`, as part `broker`, whether it answers, and the metrics
/// how many dead letters there are; until `context.stop`.
pub async fn watch(context: Context) {
    let watching = async {
        loop {
            match timeout(PATIENCE, context.broker.depth(DEAD_LETTERS)).await {
                Ok(Ok(dead)) => {
                    metrics::gauge!(metric::DEAD_LETTERS).set(dead);
                    context.health.ready(PART);
                }
                Ok(Err(error)) => context.health.unready(PART, error.to_string()),
                Err(_) => context.health.unready(PART, format!("no answer within {PATIENCE:?}")),
            }
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = context.stop.cancelled() => {}
    }
}
