//! The Redis connection that ports share.

use redis::{Client, aio::ConnectionManager, aio::ConnectionManagerConfig};
use std::time::Duration;

/// Connects to `url` (`redis://…` or `rediss://…`); the connection renews itself when it breaks.
///
/// Fails when the URL is malformed or nobody answers within `patience`.
pub async fn connect(url: &str, patience: Duration) -> redis::RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(4)
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience));
    ConnectionManager::new_with_config(Client::open(url)?, config).await
}
