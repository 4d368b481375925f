//! One call to another node, from the side of the caller.

use protocol::{JobId, NodeId, PeerNews, PeerWord};
use std::time::Duration;
use tokio::sync::mpsc;

/// Awaits the answers to one call.
pub(super) struct Call {
    pub id: JobId,
    pub to: NodeId,
    inbox: mpsc::Receiver<PeerNews>,
    next: u64,
}

impl Call {
    pub fn new(id: JobId, inbox: mpsc::Receiver<PeerNews>, to: NodeId) -> Self {
        Self { id, to, inbox, next: 0 }
    }

    /// The next word; `None`: one is missing, or nothing came within `patience`. Safe to drop while it waits.
    pub async fn next(&mut self, patience: Duration) -> Option<PeerWord> {
        let news = tokio::time::timeout(patience, self.inbox.recv()).await.ok()??;
        let is_next = news.seq == self.next;
        self.next += 1;
        is_next.then_some(news.word)
    }
}
