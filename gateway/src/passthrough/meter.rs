//! What a request is counted as and what it costs, whichever way it ends.

use crate::admission::{Permit, Reserve};
use metrics::Counter;
use protocol::Usage;
use runtime::metric;
use std::cell::RefCell;

/// What is counted when the client left before the end.
const LEFT: u16 = 499;
const OK: u16 = 200;

/// One request in flight; counted and settled when it is dropped.
pub(super) struct Meter {
    model: String,
    permit: Permit,
    reserve: Usage,
    status: u16,
    /// Tokens that were streamed to the client; `None`: no answer has begun.
    seen: Option<u32>,
    told: Option<Usage>,
}

impl Meter {
    pub(super) fn new(model: &str, permit: Permit, reserve: Reserve) -> Self {
        Self { model: model.into(), permit, reserve: reserve.usage(), status: LEFT, seen: None, told: None }
    }

    /// The client was given so many tokens more; an event of a stream has one.
    pub(super) fn see(&mut self, tokens: u32) {
        self.seen = Some(self.seen.unwrap_or_default().saturating_add(tokens));
    }

    /// It ended with this status.
    pub(super) fn ended(&mut self, status: u16) {
        self.status = status;
    }

    /// It ended well; `told` is what the server told of it.
    pub(super) fn answered(&mut self, told: Option<Usage>) {
        (self.status, self.told) = (OK, told);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        count(&self.model, self.status);
        let seen = self.seen.map(|tokens| Usage { completion_tokens: tokens, ..self.reserve });
        let whole = (self.status == OK).then_some(self.reserve);
        // What nobody answered costs nothing: the permit gives it back.
        if let Some(used) = self.told.or(seen).or(whole) {
            self.permit.used(used);
        }
    }
}

/// Handles are looked up once per thread, model and status.
fn count(model: &str, status: u16) {
    type Counters = Vec<(String, u16, Counter)>;
    thread_local!(static COUNTERS: RefCell<Counters> = const { RefCell::new(Vec::new()) });
    COUNTERS.with_borrow_mut(|counters| {
        let known = counters.iter().position(|(name, code, _)| *code == status && name == model);
        let at = known.unwrap_or_else(|| {
            let labels = [("model", model.to_string()), ("status", status.to_string())];
            counters.push((model.into(), status, metrics::counter!(metric::PASSED_THROUGH, &labels)));
            counters.len() - 1
        });
        counters[at].2.increment(1);
    });
}
