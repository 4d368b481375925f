//! One call to another node, from the side of the caller.

use super::Calls;
use protocol::{JobId, NodeId, PeerNews, PeerWord};
use std::{sync::PoisonError, time::Duration};
use tokio::sync::mpsc;

/// Awaits the answers to one call; dropping it ends the wait.
pub(super) struct Call {
    pub id: JobId,
    pub to: NodeId,
    inbox: mpsc::Receiver<PeerNews>,
    next: u64,
    calls: Calls,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Call {
    pub fn new(id: JobId, inbox: mpsc::Receiver<PeerNews>, to: NodeId, calls: Calls) -> Self {
        Self { id, to, inbox, next: 0, calls }
    }

    /// The next word; `None`: one is missing, or nothing came within `patience`. Safe to drop while it waits.
    pub async fn next(&mut self, patience: Duration) -> Option<PeerWord> {
        let news = tokio::time::timeout(patience, self.inbox.recv()).await.ok()??;
        let is_next = news.seq == self.next;
        self.next += 1;
        is_next.then_some(news.word)
    }
}
