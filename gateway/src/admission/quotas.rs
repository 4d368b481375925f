//! The port to what all gateway nodes count together.

use async_trait::async_trait;
use protocol::TenantId;

/// Microseconds of a minute.
pub(super) const MINUTE_US: f64 = 60_000_000.0;

/// What is counted per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// HTTP requests and WebSocket messages.
    Requests,
    /// Tokens of prompts and answers.
    Tokens,
}

impl Kind {
    /// In keys and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// A token bucket that holds a minute's worth of units and refills steadily. It is full until it is first used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket<'a> {
    /// Whose.
    pub(crate) tenant: &'a TenantId,
    /// Of what.
    pub(crate) kind: Kind,
    /// Units that it holds and gains per minute, at least 1.
    pub(crate) per_minute: u64,
}

/// What a node wants of a tenant's slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold<'a> {
    /// Which node.
    pub(crate) node: &'a str,
    /// Slots of all nodes.
    pub(crate) limit: u32,
    /// Slots of this node, those included that it has.
    pub(crate) want: u32,
    /// Slots that are not renewed for so many milliseconds are free for others.
    pub(crate) ttl_ms: u64,
}

/// The answer to a request for units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// So many, at least what was needed.
    Units(u64),
    /// Nothing now; what is needed will be there after so many milliseconds, if nobody else takes it.
    Wait(u64),
}

/// The store does not answer; what was asked may have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lost(pub(crate) String);

/// Counts what tenants use over all nodes. Each call is one atomic decision.
#[async_trait]
pub(crate) trait Quotas: Send + Sync + 'static {
    /// Takes `need` units (at most `per_minute`) and up to `want` where that many are there.
    async fn take(&self, bucket: Bucket<'_>, need: u64, want: u64) -> Result<Grant, Lost>;

    /// Gives `units` back, up to a full bucket; negative: charges them whether they are there or not, at most a minute's
    /// worth of debt.
    async fn give(&self, bucket: Bucket<'_>, units: i64) -> Result<(), Lost>;

    /// Makes a node hold so many of the tenant's slots as it wants, or as others leave; answers how many it holds. Others'
    /// slots count until they run out.
    async fn slots(&self, tenant: &TenantId, hold: Hold<'_>) -> Result<u32, Lost>;

    /// Whether the store answers now.
    async fn check(&self) -> Result<(), Lost>;
}
