//! Session actors: the turn state machine, the prompt, the registry and the session store.
//!
//! A message comes in through [`Registry::submit`], becomes a turn of its session's actor, and is read back through a
//! [`TurnStream`]. What a turn does is decided by `turn::Turn`, which is pure; the actor carries it out.
//!
//! # Ownership
//!
//! Of all nodes one owns a session, by a claim in the store that holds for as long as the node renews its lease ([`store`]).
//! A message is accepted once it is kept there, an event is shown once it is kept there, and every write carries the claim's
//! epoch. So whoever takes a session over, because its owner stopped, died or fell silent, goes on with the same turns, ids
//! and numbers, and a former owner that wakes up changes and shows nothing more. Requests for a session of another node are
//! sent to it (`peer`).
//!
//! # Concurrency
//!
//! One session is one actor on one thread, so its state needs no lock, and it runs one turn at a time, in the order of
//! arrival. Actors are reached by `send` and `try_send` only, never by `do_send`, which ignores the mailbox's bound. Waiting
//! (for the broker, the store, a timer) is a future that the actor owns and that ends with it; its outcome returns to the
//! actor as an `turn::Input` of the turn it was begun for, and is dropped if that turn has ended. While a message is being
//! accepted, or a session claimed, the actor does nothing else. What is shared between threads is the map of a shard, the
//! routes of replies and a turn's log; each is behind a mutex that is never held across an `await`, and none is taken while
//! another is held. Whoever finds an actor leaving asks for the session anew. Everything that the registry offers is safe to
//! drop at any time.

mod affinity;
mod apology;
mod ask;
mod breaker;
pub mod cache;
mod cited;
mod completion;
mod config;
mod conversation;
mod courtesy;
mod env;
mod gate;
mod json;
mod knowledge;
mod lang;
mod lease;
mod load;
mod log;
mod peer;
mod persona;
mod prompt;
mod publish;
mod quote;
mod registry;
mod replies;
mod session;
mod shard;
mod start;
mod state;
pub mod store;
mod tend;
mod threads;
mod turn;
mod unknown;
mod without_model;

pub use completion::{Completion, SamplingRequest};
pub use config::Config;
pub use log::{TurnLog, TurnStream};
pub use persona::{Persona, Profile, Profiles};
pub use prompt::estimate;
pub use registry::Registry;
pub use start::{StartError, start, start_with};
pub use state::{SessionView, StoredMessage, TurnRecord};
