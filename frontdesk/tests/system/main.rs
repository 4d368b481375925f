//! The whole system on real parts: real processes, RabbitMQ, Redis, language model, embedder, browser and SDK.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod affinity;
mod bad_days;
mod bench;
mod chat_page;
mod client;
mod commands;
mod distributed;
mod dlq;
mod harness;
mod load;
mod nodes;
mod openai_python;
mod trace;
