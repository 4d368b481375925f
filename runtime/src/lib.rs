//! What every role needs to run: broker, configuration, telemetry, metrics, health, shutdown and clock.
//!
//! Nothing here knows what a turn is. Every function that waits takes a [`tokio_util::sync::CancellationToken`] or is
//! safe to drop; there is no global state but the process's one metrics recorder and one tracing subscriber.

pub mod broker;
pub mod clock;
pub mod config;
pub mod context;
pub mod health;
pub mod job;
pub mod metric;
pub mod redis;
pub mod shutdown;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use broker::{Broker, BrokerError, Consumer, Delivery, Message};
pub use clock::{Clock, Random};
pub use context::Context;
pub use health::Health;
