//! Private servers and child processes for tests. Each listens on free ports of 127.0.0.1, keeps its data in a temporary
//! directory and ends, with all it started, when it is dropped.
//!
//! Calls block the thread; in asynchronous tests use the multi-threaded runtime. What goes wrong here panics with the
//! server's log, as a failed assertion would.

mod mariadb;
mod meilisearch;
mod port;
mod process;
mod proxy;
mod rabbitmq;
mod redis;
mod s3;
mod tap;

pub use mariadb::MariaDb;
pub use meilisearch::Meilisearch;
pub use port::{free_port, is_open};
pub use process::Process;
pub use proxy::Proxy;
pub use rabbitmq::{QueueDepth, RabbitMq};
pub use redis::Redis;
pub use s3::S3;
pub use tap::{Extra, Seen, Tap};

#[cfg(test)]
mod tests;
