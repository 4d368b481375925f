//! Sessions and their turns on the embedded broker and store, with workers that do what a test says.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod affinity;
mod answered;
mod bounds;
mod cached;
mod cut;
mod dead;
mod degraded;
mod fair;
mod hiccups;
mod lifecycle;
mod observed;
mod ownership;
mod quick;
mod support;
mod turns;
