//! Session actors: the turn state machine, the prompt, the registry and the session store.
pub mod cited;
pub mod config;
pub mod lang;
pub mod log;
pub mod persona;
pub mod prompt;
pub mod registry;
pub mod state;
pub mod store;
pub mod turn;

pub use config::Config;
pub use log::{TurnLog, TurnStream};
pub use persona::{Persona, Personas};
pub use registry::{Completion, Registry, SamplingRequest, StartError, start};
pub use state::{SessionView, StoredMessage, TurnRecord};
