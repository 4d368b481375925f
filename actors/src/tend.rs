//! What a node does by itself, three times in the length of its lease: it renews the lease and cares for open messages whose
//! owner is dead, or is this node without knowing it.

use crate::{
    Registry,
    lease::Renewal,
    registry::{Found, Inner},
    session::Leave,
    store::{Member, SessionKey},
};
use futures_util::future::join_all;
use protocol::ErrorCode;
use runtime::metric;
use std::{sync::Weak, time::Duration};

/// Sessions that are adopted at once, and in one round.
const AT_ONCE: usize = 16;
const PER_ROUND: usize = 256;

/// Runs until the registry is gone.
pub(crate) async fn tend(inner: Weak<Inner>) {
    let mut looked = 0;
    loop {
        let Some(registry) = inner.upgrade().map(Registry) else { return };
        let period = Duration::from_millis(registry.0.env.config.lease_ms / 3);
        match registry.0.env.lease.renew().await {
            Renewal::Kept => {
                registry.adopt_orphans().await;
                looked = registry.adopt_unheard(looked).await;
            }
            Renewal::Lost => registry.leave_all(Leave::NotOwner).await,
            Renewal::Unknown => {}
        }
        drop(registry);
        tokio::time::sleep(period).await;
    }
}

impl Registry {
    async fn adopt_orphans(&self) {
        if self.0.env.load.is_draining() {
            return;
        }
        let orphans = self.0.env.store.orphans(PER_ROUND).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "open messages of dead nodes are looked for later");
            Vec::new()
        });
        for some in orphans.chunks(AT_ONCE) {
            join_all(some.iter().map(|(owner, key)| self.adopt_orphan(owner, key))).await;
        }
    }

    /// Sessions that this node claimed and whose answer it never heard have no actor. Returns where to go on looking.
    async fn adopt_unheard(&self, from: u64) -> u64 {
        let Some(me) = self.0.env.lease.member().filter(|_| !self.0.env.load.is_draining()) else { return 0 };
        let (held, next) = match self.0.env.store.held(&me, from).await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(%error, "sessions that were claimed unheard are looked for later");
                return from;
            }
        };
        for key in held.iter().filter(|key| !self.has(key)) {
            match self.adopt(key).await {
                Ok(_) => took_over(key, &me, "unheard"),
                Err(error) => tracing::warn!(session = %key.session, %error, "an unheard session is taken over later"),
            }
        }
        next
    }

    async fn adopt_orphan(&self, owner: &Member, key: &SessionKey) {
        let found = match self.adopt(key).await {
            Ok(Found::Here(())) => Ok((true, None)),
            Ok(Found::Elsewhere(other)) => Ok((false, Some(other))),
            Err(failure) if failure.code == ErrorCode::SessionNotFound => Ok((false, None)),
            Err(failure) => Err(failure.to_string()),
        };
        let adopted = match found {
            Ok((here, by)) => {
                let noted = self.0.env.store.adopted(owner, by.as_ref(), key).await;
                noted.map(|()| here).map_err(|error| error.to_string())
            }
            Err(error) => Err(error),
        };
        match adopted {
            Ok(false) => {}
            Ok(true) => took_over(key, owner, "dead"),
            Err(error) => tracing::warn!(session = %key.session, error, "a session of a dead node is taken over later"),
        }
    }
}

fn took_over(key: &SessionKey, owner: &Member, why: &'static str) {
    metrics::counter!(metric::SESSIONS_TAKEN_OVER, "why" => why).increment(1);
    tracing::info!(tenant = %key.tenant, session = %key.session, %owner, why, "took over a session");
}
