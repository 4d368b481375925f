//! This node's right to own sessions, renewed for as long as the store answers.
//!
//! Safety does not rest on clocks: a write of a node whose lease has run out is refused as soon as another one has claimed the
//! session (see [`crate::store::record`]). The lease only decides when others may claim.

use crate::store::{Member, SessionStore, StoreError};
use protocol::{NodeId, Timestamp};
use runtime::{Clock, metric};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

struct Held {
    member: Member,
    until: Timestamp,
}

/// The lease of this node.
pub(crate) struct Lease {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    length: Duration,
    held: Mutex<Held>,
}

/// How a renewal went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    Kept,
    /// It had expired: others may own this node's sessions. A new life has begun.
    Lost,
    /// The store does not answer.
    Unknown,
}

impl Lease {
    /// Begins the node's first life.
    pub async fn take(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        node: NodeId,
        length: Duration,
    ) -> Result<Self, StoreError> {
        let member = Member::new(node);
        let asked = clock.now();
        store.join(&member, length).await?;
        let held = Mutex::new(Held { member, until: end(asked, length) });
        Ok(Self { store, clock, length, held })
    }

    /// As whom sessions may be claimed; `None` while the lease does not run.
    pub fn member(&self) -> Option<Member> {
        let held = self.held();
        (self.clock.now() < held.until).then(|| held.member.clone())
    }

    /// To be called at a third of its length.
    pub async fn renew(&self) -> Renewal {
        let (member, asked) = (self.held().member.clone(), self.clock.now());
        match self.store.renew(&member, self.length).await {
            Ok(true) => {
                self.held().until = end(asked, self.length);
                Renewal::Kept
            }
            Ok(false) => self.begin_anew(&member).await,
            Err(error) => {
                tracing::warn!(%error, "the node's lease is not renewed");
                Renewal::Unknown
            }
        }
    }

    /// Lets others claim at once.
    pub async fn leave(&self) {
        let member = self.held().member.clone();
        self.held().until = Timestamp(0);
        if let Err(error) = self.store.leave(&member).await {
            tracing::warn!(%error, "the node's lease runs on although it leaves");
        }
    }

    async fn begin_anew(&self, lost: &Member) -> Renewal {
        metrics::counter!(metric::LEASES_LOST).increment(1);
        let (next, asked) = (lost.next_life(), self.clock.now());
        tracing::warn!(%lost, "the node's lease has expired; it gives its sessions up and begins anew");
        let joined = self.store.join(&next, self.length).await;
        let until = if joined.is_ok() { end(asked, self.length) } else { Timestamp(0) };
        *self.held() = Held { member: next, until };
        Renewal::Lost
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(asked: Timestamp, length: Duration) -> Timestamp {
    asked.after_ms(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}
