//! The sessions of this node.

use crate::{Config, Personas, SessionView, TurnStream};
use protocol::{ChatMessage, ErrorCode, Event, Failure, KnowledgeJob, NodeId, SessionId, Submit, TenantId};
use std::{sync::Arc, time::Duration};

/// A stateless call.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The whole conversation; the last message is the customer's.
    pub messages: Vec<ChatMessage>,
    /// Whether to retrieve for the last user message and to add the persona and the passages; else the bare model answers.
    pub knowledge: bool,
    /// What the client asks of the sampling.
    pub sampling: SamplingRequest,
}

/// What a client asks of the sampling; absent: the configured or usual value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplingRequest {
    /// Generate at most this many tokens (≥ 1).
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// Nucleus, 0 < p ≤ 1.
    pub top_p: Option<f32>,
    /// Same seed, same answer.
    pub seed: Option<u64>,
    /// Generation ends before any of these would appear.
    pub stop: Vec<String>,
}

/// Why sessions cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The reply queue could not be declared.
    #[error("session actors: {0}")]
    Broker(#[from] runtime::BrokerError),
    /// The session store does not answer.
    #[error("session.store: {0}")]
    Store(String),
    /// The actors' threads could not be started.
    #[error("session.arbiters: {0}")]
    Arbiters(String),
}

/// The sessions of this node; cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {}

/// Connects the store, declares the node's reply queue, starts the arbiters and the reply dispatcher.
pub async fn start(
    _config: Config,
    _personas: Personas,
    _node: NodeId,
    _context: runtime::Context,
) -> Result<Registry, StartError> {
    Ok(Registry(Arc::new(Inner {})))
}

fn unbuilt<T>(_: &Inner) -> Result<T, Failure> {
    Err(Failure::new(ErrorCode::Unavailable, "session actors are not running"))
}

impl Registry {
    /// A new session.
    pub async fn create(&self, _tenant: &TenantId) -> Result<SessionView, Failure> {
        unbuilt(&self.0)
    }

    /// A session's history.
    pub async fn view(&self, _tenant: &TenantId, _session: &SessionId) -> Result<SessionView, Failure> {
        unbuilt(&self.0)
    }

    /// Forgets a session; its running turn is cancelled.
    pub async fn delete(&self, _tenant: &TenantId, _session: &SessionId) -> Result<(), Failure> {
        unbuilt(&self.0)
    }

    /// Takes a customer's message. Idempotent on its `client_message_id`: a repeat gets the running stream from its start, or
    /// the finished answer.
    pub async fn submit(
        &self,
        _tenant: &TenantId,
        _session: &SessionId,
        _submit: Submit,
    ) -> Result<TurnStream, Failure> {
        unbuilt(&self.0)
    }

    /// Stops the session's running turn; without one nothing happens.
    pub async fn stop(&self, _tenant: &TenantId, _session: &SessionId) -> Result<(), Failure> {
        unbuilt(&self.0)
    }

    /// Answers once, by a session actor that lives for this turn.
    pub async fn complete(&self, _tenant: &TenantId, _request: Completion) -> Result<TurnStream, Failure> {
        unbuilt(&self.0)
    }

    /// Changes or lists the tenant's documents; answers `Ingested`, `Deleted` or `Documents`.
    pub async fn knowledge(&self, _tenant: &TenantId, _job: KnowledgeJob) -> Result<Event, Failure> {
        unbuilt(&self.0)
    }

    /// Refuses new turns, awaits running ones for up to `grace`, then lets all sessions leave memory.
    pub async fn drain(&self, _grace: Duration) {}
}
