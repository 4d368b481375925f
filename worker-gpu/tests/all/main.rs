//! The worker seen from outside: jobs in, frames out.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod affinity;
mod desk;
mod devices;
mod fake_server;
mod intake;
mod openai;
