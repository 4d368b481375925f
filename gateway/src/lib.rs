//! The HTTP, SSE and WebSocket interface, authentication, admission and the chat page.
//!
//! [`routes`] is the whole interface on one page. A request passes [`observe`] (span, metrics, request id), then
//! [`auth`] (whose key is it), [`admission`] (may this tenant have one more turn), and reaches the session actors through
//! [`actors::Registry`]. Answers go out as they are made: nothing here buffers a turn, a response body owns its place in
//! the turn's log and its admission permit, and dropping it (the client left) gives both back; what the turn cost is
//! settled at its end all the same.

mod admission;
mod answer;
mod assets;
mod auth;
mod body;
mod config;
mod documents;
mod error;
mod ingests;
mod knowledge;
mod messages;
mod observe;
mod openai;
mod ops;
mod passthrough;
mod reading;
mod routes;
mod server;
mod sessions;
mod socket;
mod sse;
mod tenant;

pub use config::{Config, OnLoss};
pub use passthrough::{Secret, Upstream};
pub use server::{run, run_ops};
pub use tenant::{KeyHash, Limits, Tenant, Tenants};
