//! One tenant's quotas, as one node has them.

use super::{Refused, account::Account, permit::Reserve, quotas::Kind, slots::Slots, store::Store};
use crate::Limits;
use metrics::Counter;
use protocol::{ClientMessageId, JobId, SessionId, TenantId, Usage};
use runtime::metric;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a tenant has of its limits.
pub(super) struct Meter {
    pub(super) tenant: TenantId,
    pub(super) limits: Limits,
    pub(super) turns: Slots,
    requests: Account,
    tokens: Option<Account>,
    paid: Mutex<Paid>,
    spent: OnceLock<[Counter; 2]>,
    /// Whether the keeper looks after it.
    kept: AtomicBool,
}

/// A customer's message by its own id.
pub(crate) type Name = (SessionId, ClientMessageId);

/// What is being paid for here; no more than slots.
#[derive(Default)]
struct Paid {
    turns: HashMap<JobId, Option<Name>>,
    names: HashSet<Name>,
}

impl Meter {
    pub(super) fn new(tenant: &TenantId, limits: &Limits) -> Self {
        let tokens = (limits.tokens_per_minute > 0).then(|| Account::new(Kind::Tokens, limits.tokens_per_minute));
        Self {
            tenant: tenant.clone(),
            limits: limits.clone(),
            turns: Slots::new(limits.concurrent_turns),
            requests: Account::new(Kind::Requests, u64::from(limits.requests_per_minute.max(1))),
            tokens,
            paid: Mutex::default(),
            spent: OnceLock::new(),
            kept: AtomicBool::new(false),
        }
    }

    /// Counts one request.
    pub(super) async fn request(&self, store: &Store) -> Result<(), Refused> {
        self.requests.take(store, &self.tenant, 1).await
    }

    /// Sets tokens aside.
    pub(super) async fn reserve(&self, store: &Store, reserve: Reserve) -> Result<(), Refused> {
        match &self.tokens {
            Some(tokens) if reserve.total() > 0 => tokens.take(store, &self.tenant, reserve.total()).await,
            _ => Ok(()),
        }
    }

    /// Gives back what was set aside and not used; negative: what was used beyond.
    pub(super) fn settle(&self, store: &Store, back: i64) {
        if let Some(tokens) = self.tokens.as_ref().filter(|_| back != 0) {
            tokens.give(store, back);
        }
    }

    /// Whether nobody pays for the turn `job` yet, which answers the message `name`.
    pub(super) fn begin(&self, job: &JobId, name: Option<&Name>) -> bool {
        let mut paid = self.paid();
        if paid.turns.contains_key(job) {
            return false;
        }
        paid.turns.insert(job.clone(), name.cloned());
        paid.names.extend(name.cloned());
        true
    }

    /// Whether somebody pays for the answer to the message `name`.
    pub(super) fn pays(&self, name: &Name) -> bool {
        self.paid().names.contains(name)
    }

    /// The turn `job` is paid for.
    pub(super) fn end(&self, job: &JobId) {
        let mut paid = self.paid();
        if let Some(name) = paid.turns.remove(job).flatten() {
            paid.names.remove(&name);
        }
    }

    /// Shows what was used.
    pub(super) fn count(&self, used: Usage) {
        let counter =
            |kind| metrics::counter!(metric::TENANT_TOKENS, "tenant" => self.tenant.to_string(), "kind" => kind);
        let [prompt, completion] = self.spent.get_or_init(|| ["prompt", "completion"].map(counter));
        prompt.increment(u64::from(used.prompt_tokens));
        completion.increment(u64::from(used.completion_tokens));
    }

    /// Settles with the store; `all`: this node gives everything up that does not run.
    pub(super) async fn sweep(&self, store: &Store, node: &str, all: bool) {
        self.turns.sweep(store, &self.tenant, node, all).await;
        for account in [Some(&self.requests), self.tokens.as_ref()].into_iter().flatten() {
            account.sweep(store, &self.tenant, all).await;
        }
    }

    /// Tells the keeper of its first use; `false`: it knows.
    pub(super) fn is_news(&self) -> bool {
        !self.kept.load(Ordering::Relaxed) && !self.kept.swap(true, Ordering::AcqRel)
    }

    /// Whether the keeper must come again.
    pub(super) fn is_busy(&self) -> bool {
        let busy = || {
            let tokens = self.tokens.as_ref().is_some_and(Account::is_busy);
            tokens || self.requests.is_busy() || self.turns.is_busy()
        };
        if busy() {
            return true;
        }
        self.kept.store(false, Ordering::Release);
        // It may have been used in between, by one who took it for kept.
        busy() && self.is_news()
    }

    fn paid(&self) -> MutexGuard<'_, Paid> {
        self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
