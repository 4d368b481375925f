//! Session actors: the turn state machine, the prompt, the registry and the session store.

pub mod config;
pub mod log;
pub mod persona;
pub mod registry;
pub mod state;

pub use config::Config;
pub use log::{TurnLog, TurnStream};
pub use persona::{Persona, Personas};
pub use registry::{Completion, Registry, SamplingRequest, StartError, start};
pub use state::{SessionView, StoredMessage, TurnRecord};
