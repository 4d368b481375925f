//! Whether the broker answers, for `/readyz`.

use crate::Context;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The part's name on `/readyz`.
const PART: &str = "broker";
const PAUSE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the broker every few seconds and tells `context.health`, as part `broker`, whether it answers; until
/// `context.stop`.
pub async fn watch(context: Context) {
    let watching = async {
        loop {
            match timeout(PATIENCE, context.broker.check()).await {
                Ok(Ok(())) => context.health.ready(PART),
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
