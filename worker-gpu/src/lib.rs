//! Generates answers: job intake, continuous batching, models, sampling and engines.
//!
//! A job's way reads from top to bottom: [`run`] takes it from the broker, [`Engine::add`] queues it, [`Engine::step`]
//! generates, and the job's own task publishes coalesced frames and settles the delivery after the last one.
//!
//! Concurrency: an engine is synchronous and lives on one OS thread, which alone touches it; there is one per device. Each
//! job is one task. The two meet in bounded channels only; a job's task that ends takes its sequence out of the engine.

mod candle;
mod config;
#[cfg(any(feature = "cuda", test))]
mod cuda;
mod device;
mod driver;
mod echo;
mod engine;
mod fleet;
mod intake;
mod local;
mod open;
mod openai;
mod sampling;
mod schedule;
mod text;
mod told;
mod weights;

pub use config::{Config, Secret};
pub use engine::{Admitted, Engine, EngineError, Output, Request, SequenceId, Stats};
pub use intake::{RunError, run};
pub use local::LoadError;
pub use open::{OpenError, open, open_all};
pub use openai::SetupError;
pub use weights::{Mismatch, WeightsError, WeightsProblem};
