//! The worker seen from outside: jobs in, frames out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod desk;
mod intake;
