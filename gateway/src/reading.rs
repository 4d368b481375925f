//! A turn's events for one reader, wherever the turn runs.
//!
//! A stream that ends without a last event has lost its turn: the node that ran it stopped or died, or the session moved.
//! The turn goes on under the same id and numbers, so it is looked for until it is found, and the reader notices nothing but
//! a pause.

use actors::{Registry, TurnStream};
use futures_util::{FutureExt, future::LocalBoxFuture};
use protocol::{Failure, JobId, SessionId, TenantId, TurnEvent};
use std::time::Duration;
use tokio::time::sleep;

/// How often a turn is looked for until it says something new: longer than a lease and a take-over last.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where a turn can be found again.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) registry: Registry,
    pub(crate) tenant: TenantId,
    pub(crate) session: SessionId,
}

/// A reader's place in a turn.
pub(crate) struct Reading {
    turn: TurnStream,
    source: Option<Source>,
    /// The number of the event that comes next at the earliest.
    next: u64,
    over: bool,
    tries: u32,
    search: Option<LocalBoxFuture<'static, Result<TurnStream, Failure>>>,
}

impl From<TurnStream> for Reading {
    fn from(turn: TurnStream) -> Self {
        Self { turn, source: None, next: 0, over: false, tries: 0, search: None }
    }
}

impl Source {
    /// Reads `turn` of this session from its start.
    pub(crate) fn reading(self, turn: TurnStream) -> Reading {
        Reading { source: Some(self), ..turn.into() }
    }

    /// Reads the turn `job` from the event number `from` on.
    pub(crate) async fn follow(self, job: &JobId, from: u64) -> Result<Reading, Failure> {
        let turn = self.registry.follow(&self.tenant, &self.session, job, from).await?;
        let mut reading = self.reading(turn);
        reading.skip_to(from);
        Ok(reading)
    }
}

impl Reading {
    /// The turn's id.
    pub(crate) fn job(&self) -> &JobId {
        self.turn.job()
    }

    /// The next event is the first one whose number is at least `seq`.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        self.next = seq;
        self.turn.skip_to(seq);
    }

    /// Whether the turn has ended and all of it was read.
    pub(crate) fn is_over(&mut self) -> bool {
        let ended = || has_ended(&self.turn);
        let read = || self.turn.clone().next().now_or_never().is_some_and(|next| next.is_none());
        self.over = self.over || ended() && read();
        self.over
    }

    /// The number of the last event that was read, if any was.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// The next event and its number. `None` after the last event, and when the turn cannot be found any more. Safe to drop
    /// while it waits.
    pub(crate) async fn next(&mut self) -> Option<(u64, TurnEvent)> {
        loop {
            if let Some(search) = &mut self.search {
                let found = search.await;
                self.search = None;
                if let Ok(mut turn) = found {
                    turn.skip_to(self.next);
                    self.turn = turn;
                } else if !self.search_again() {
                    return None;
                }
                continue;
            }
            if self.over {
                return None;
            }
            if let Some((seq, event)) = self.turn.next().await {
                (self.next, self.over, self.tries) = (seq + 1, event.is_last(), 0);
                return Some((seq, event));
            }
            if has_ended(&self.turn) {
                self.over = true;
            } else if !self.search_again() {
                return None;
            }
        }
    }

    fn search_again(&mut self) -> bool {
        let Some(Source { registry, tenant, session }) = self.source.clone().filter(|_| self.tries < TRIES) else {
            return false;
        };
        let pause = (PAUSE * 2u32.pow(self.tries.min(8))).min(LONGEST_PAUSE);
        let (job, from) = (self.turn.job().clone(), self.next);
        self.tries += 1;
        self.search = Some(Box::pin(async move {
            sleep(pause).await;
            registry.follow(&tenant, &session, &job, from).await
        }));
        true
    }
}

/// Whether the turn's last event is known; else one that gives no more events goes on elsewhere.
fn has_ended(turn: &TurnStream) -> bool {
    matches!(turn.ending().now_or_never(), Some(Some(_)))
}
