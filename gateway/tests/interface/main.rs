//! The whole interface: a real server on a free port, real session actors, the embedded broker, and a worker that does
//! what the question says.

#![expect(clippy::unwrap_used, reason = "tests")]

mod admission;
mod assets;
mod documents;
mod nodes;
mod openai;
mod ops;
mod refusals;
mod resume;
mod sessions;
mod shutdown;
mod slow;
mod sockets;
mod sse;
mod stage;
mod streams;
mod tracing;
mod upstream;
mod upstreams;
mod worker;
