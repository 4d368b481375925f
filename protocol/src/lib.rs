//! The words Frontdesk's parts speak: ids, jobs, events, errors and the queue topology as data; no I/O.
//!
//! A turn reads left to right through these modules: a [`turn::Submit`] becomes a [`retrieval::RetrievalJob`], then an
//! [`inference::InferenceJob`], each inside an [`envelope::Envelope`]; workers answer with [`event::Reply`] batches and
//! the customer sees [`turn::TurnEvent`]s. Every message has a golden JSON file under `tests/golden`.

pub mod chat;
pub mod envelope;
pub mod error;
pub mod event;
pub mod id;
pub mod inference;
pub mod ingest;
pub mod knowledge;
pub mod lang;
pub mod peer;
pub mod retrieval;
pub mod sampling;
pub mod tools;
pub mod topology;
pub mod turn;
pub mod vector;

pub use chat::{ChatMessage, Role};
pub use envelope::{Cancel, Envelope, Timestamp};
pub use error::{ErrorCode, Failure};
pub use event::{Aside, Event, FinishReason, Reply, Usage};
pub use id::{
    ClientMessageId, ContentHash, DocumentId, IngestId, InvalidId, JobId, NodeId, SessionId, TenantId, WorkerId,
};
pub use inference::{InferenceJob, Priority};
pub use ingest::{DocumentOutcome, IngestCounts, IngestReport, IngestState, Outcome};
pub use knowledge::{
    DocumentFormat, DocumentInfo, DocumentReport, KnowledgeJob, KnowledgeNews, KnowledgeVersion, Original,
    UnansweredQuestion, VersionInfo,
};
pub use lang::Lang;
pub use peer::{PeerAsk, PeerCall, PeerMessage, PeerNews, PeerWord};
pub use retrieval::{FaqMatch, Passage, RetrievalJob, Retrieved};
pub use sampling::{Format, Logprob, Sampling, TokenLogprob};
pub use tools::{Tool, ToolCall, ToolCallDelta, ToolChoice, Tools};
pub use turn::{Citation, Origin, Submit, TurnEvent};
pub use vector::QuantizedVector;
