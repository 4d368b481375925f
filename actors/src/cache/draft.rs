//! The right to give the cache an answer, which one of several equal questions has.

use super::{
    entry::{Entry, Listed},
    flight::Position,
    patient::Patient,
    scope::Key,
};
use crate::turn::Answer;
use futures_util::future::{Either, select};
use protocol::{FinishReason, QuantizedVector};
use runtime::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// A node that does not renew its lead for this long has lost it.
pub(super) const LEAD: Duration = Duration::from_secs(5);

/// An answer that is being found. Dropping it lets the next one find it.
pub(crate) struct Draft {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<Patient>,
    pub(super) key: Key,
    pub(super) question: String,
    pub(super) vector: Option<QuantizedVector>,
    /// In front of those who wait at this node; `None`: nobody does.
    pub(super) position: Option<Position>,
    /// Before the other nodes; `None`: they do not know.
    pub(super) lead: Option<Lead>,
    pub(super) model: String,
}

impl Draft {
    /// The engine's name of the model that answers.
    pub fn began(&mut self, model: &str) {
        self.model = model.to_string();
    }

    /// The answer is whole: all who wait have it, if it may be shared, and so have those who ask later.
    pub fn answered(mut self, answer: &Answer) {
        let position = self.position.take();
        if answer.reason == FinishReason::Cancelled {
            return;
        }
        let entry = Entry::of(&self.question, answer, &self.model, self.clock.now()).map(Arc::new);
        match (&entry, position) {
            (Some(entry), Some(position)) => position.answered(entry),
            (None, Some(position)) if answer.degraded => position.failed(),
            (None, Some(position)) => position.unfit(),
            (_, None) => {}
        }
        if let Some(entry) = entry {
            self.keep(entry);
        }
    }

    /// There is no answer: those who wait go their own way.
    pub fn failed(mut self) {
        if let Some(position) = self.position.take() {
            position.failed();
        }
    }

    fn keep(self, entry: Arc<Entry>) {
        let listed = Listed { scope: self.key.scope.name(), question: self.question, vector: self.vector };
        match self.lead {
            Some(lead) => lead.end(entry, listed),
            None => {
                tokio::spawn(async move { keep(&self.store, &self.key, &entry, &listed).await });
            }
        }
    }
}

/// One node's lead in a question, renewed until it is dropped.
pub(super) struct Lead {
    is_held: Arc<AtomicBool>,
    end: Option<oneshot::Sender<(Arc<Entry>, Listed)>>,
}

impl Lead {
    /// To be taken: it is renewed once it is [held](Self::held), and given back in any case.
    pub fn new(store: Arc<Patient>, key: Key, by: String) -> Self {
        let (end, ended) = oneshot::channel();
        let is_held = Arc::new(AtomicBool::new(false));
        tokio::spawn(renew(store, key, by, is_held.clone(), ended));
        Self { is_held, end: Some(end) }
    }

    pub fn held(&self) {
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// Keeps the answer, then gives the lead back.
    fn end(mut self, entry: Arc<Entry>, listed: Listed) {
        if let Some(end) = self.end.take() {
            drop(end.send((entry, listed)));
        }
    }
}

async fn renew(
    store: Arc<Patient>,
    key: Key,
    by: String,
    is_held: Arc<AtomicBool>,
    mut ended: oneshot::Receiver<(Arc<Entry>, Listed)>,
) {
    let answer = loop {
        match select(&mut ended, (store.pause)(LEAD / 3)).await {
            Either::Left((answer, _)) => break answer.ok(),
            Either::Right(_) if is_held.load(Ordering::Relaxed) => {
                // Who has lost it goes on: at worst the answer is found twice.
                drop(store.ask(store.store.lead(&key, &by, LEAD)).await);
            }
            Either::Right(_) => {}
        }
    };
    if let Some((entry, listed)) = answer {
        keep(&store, &key, &entry, &listed).await;
    }
    drop(store.store.follow(&key, &by).await);
}

async fn keep(store: &Patient, key: &Key, entry: &Entry, listed: &Listed) {
    // Nobody waits for this.
    if let Err(error) = store.store.keep(key, entry, listed).await {
        tracing::debug!(%error, "an answer is not kept");
    }
}
