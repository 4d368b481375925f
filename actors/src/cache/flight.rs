//! The lines of a node's equal questions, with the channels through which those who wait are told.

use super::{
    entry::Entry,
    line::{End, Lines, Told},
    scope::Key,
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::oneshot;

/// What somebody who waits hears.
#[derive(Debug)]
pub(super) enum Word {
    /// They are in front now.
    Front,
    /// The answer.
    Answer(Arc<Entry>),
    /// They go their own way.
    Alone,
}

/// All lines of the node.
pub(super) struct Flights {
    lines: Mutex<Lines<Key, oneshot::Sender<Word>>>,
    next: AtomicU64,
}

impl Flights {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { lines: Mutex::new(Lines::new()), next: AtomicU64::new(0) })
    }

    /// Gets in line; who is not in front hears of it through the receiver.
    pub fn enter(self: &Arc<Self>, key: &Key) -> (Position, Option<oneshot::Receiver<Word>>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_front = lines.enter(key, id, || sender);
        drop(lines);
        let position = Position { flights: self.clone(), key: key.clone(), id };
        (position, (!is_front).then_some(receiver))
    }

    fn end(&self, key: &Key, id: u64, end: End, entry: Option<&Arc<Entry>>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let told = lines.end(key, id, end);
        drop(lines);
        for (sender, told) in told {
            let word = match (told, entry) {
                (Told::Front, _) => Word::Front,
                (Told::Answer, Some(entry)) => Word::Answer(entry.clone()),
                (Told::Answer | Told::Alone, _) => Word::Alone,
            };
            // Who has left meanwhile drops their position, which tells the next one.
            drop(sender.send(word));
        }
    }
}

/// Somebody's place in a line; dropping it gives it up.
pub(super) struct Position {
    flights: Arc<Flights>,
    key: Key,
    id: u64,
}

impl Position {
    /// There is an answer for all who wait.
    pub fn answered(self, entry: &Arc<Entry>) {
        self.flights.end(&self.key, self.id, End::Answered, Some(entry));
    }

    /// There is an answer that cannot be shared.
    pub fn unfit(self) {
        self.flights.end(&self.key, self.id, End::Unfit, None);
    }

    /// There is no answer.
    pub fn failed(self) {
        self.flights.end(&self.key, self.id, End::Failed, None);
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        // Who has ended otherwise is not in the line any more, and ids are never given again.
        self.flights.end(&self.key, self.id, End::Left, None);
    }
}
