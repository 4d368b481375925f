//! A turn's events: one append-only log, any number of readers.
//!
//! A reader holds a place in the log, never a buffer of its own, so a slow reader costs nothing and a late one misses
//! nothing. The log is bounded by the turn that writes it (see [`crate::turn`]). A log whose writer is gone ends with `Failed`.

use protocol::{ErrorCode, Failure, JobId, TurnEvent};
use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

#[derive(Debug, Default)]
struct Events {
    /// With their numbers, ascending.
    list: Vec<(u64, TurnEvent)>,
    /// The turn goes on elsewhere: nothing is appended here any more.
    moved: bool,
}

impl Events {
    fn has_ended(&self) -> bool {
        self.moved || self.list.last().is_some_and(|(_, last)| last.is_last())
    }

    fn next(&self) -> u64 {
        self.list.last().map_or(0, |(seq, _)| seq + 1)
    }
}

#[derive(Debug)]
struct Shared {
    job: JobId,
    model: OnceLock<String>,
    events: Mutex<Events>,
    grown: watch::Sender<()>,
    readers: watch::Sender<usize>,
}

impl Shared {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one writer of a turn's events.
#[derive(Debug)]
pub struct TurnLog(Arc<Shared>);

impl TurnLog {
    /// An empty log of the turn `job`.
    pub fn new(job: JobId) -> Self {
        let (grown, readers) = (watch::Sender::new(()), watch::Sender::new(0));
        Self(Arc::new(Shared { job, model: OnceLock::new(), events: Mutex::default(), grown, readers }))
    }

    /// A complete log: `events` with their numbers, ascending, the last of them a last event.
    pub fn replay(job: JobId, events: Vec<(u64, TurnEvent)>) -> Self {
        let log = Self::new(job);
        log.0.events().list = events;
        log
    }

    /// The log of a turn that goes on after `events`.
    pub fn resumed(job: JobId, events: impl IntoIterator<Item = TurnEvent>) -> Self {
        Self::replay(job, (0..).zip(events).collect())
    }

    /// The events so far.
    pub fn events(&self) -> Vec<TurnEvent> {
        self.0.events().list.iter().map(|(_, event)| event.clone()).collect()
    }

    /// The number of the next event.
    pub fn next_seq(&self) -> u64 {
        self.0.events().next()
    }

    /// The turn's id.
    pub fn job(&self) -> &JobId {
        &self.0.job
    }

    /// Appends an event; after the end nothing is appended any more. Returns the event's number.
    pub fn emit(&self, event: TurnEvent) -> Option<u64> {
        let mut events = self.0.events();
        let seq = events.next();
        self.append(&mut events, seq, event).then_some(seq)
    }

    /// Appends an event that has a number already; one that is not new is dropped.
    pub fn copy(&self, seq: u64, event: TurnEvent) {
        let mut events = self.0.events();
        if seq >= events.next() {
            self.append(&mut events, seq, event);
        }
    }

    /// Ends without a last event: the turn goes on elsewhere, under the same id and numbers.
    pub fn moved(&self) {
        self.0.events().moved = true;
        self.0.grown.send_replace(());
    }

    fn append(&self, events: &mut Events, seq: u64, event: TurnEvent) -> bool {
        let is_open = !events.has_ended();
        if is_open {
            events.list.push((seq, event));
            self.0.grown.send_replace(());
        }
        is_open
    }

    /// The engine's name of the model; the first one stays.
    pub fn set_model(&self, model: String) {
        let _ = self.0.model.set(model);
    }

    /// A reader from the start.
    pub fn reader(&self) -> TurnStream {
        TurnStream::new(self.0.clone(), 0)
    }

    /// Whether anybody reads now.
    pub fn is_read(&self) -> bool {
        *self.0.readers.borrow() > 0
    }

    /// Returns once nobody has read for `grace` without a break, or the log is gone; where it `waits`, somebody must have begun to read first.
    pub fn abandoned(&self, grace: Duration, waits: bool) -> impl Future<Output = ()> + Send + use<> {
        let mut readers = self.0.readers.subscribe();
        async move {
            if waits && readers.wait_for(|count| *count > 0).await.is_err() {
                return;
            }
            while readers.wait_for(|count| *count == 0).await.is_ok() {
                let back = tokio::time::timeout(grace, readers.wait_for(|count| *count > 0)).await;
                if !matches!(back, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

impl Drop for TurnLog {
    fn drop(&mut self) {
        let message = "the session stopped in the middle of the turn; send the message again";
        self.emit(TurnEvent::Failed(Failure::new(ErrorCode::Unavailable, message)));
    }
}

/// A reader's place in a turn's log; a clone reads on from the same place.
///
/// When the last reader is dropped the turn goes on for a grace (`session.abandon_grace_ms`, none for
/// [`crate::Registry::complete`]), then it is cancelled.
#[derive(Debug)]
pub struct TurnStream {
    shared: Arc<Shared>,
    grown: watch::Receiver<()>,
    next: u64,
}

impl TurnStream {
    fn new(shared: Arc<Shared>, next: u64) -> Self {
        shared.readers.send_modify(|count| *count += 1);
        Self { grown: shared.grown.subscribe(), shared, next }
    }

    /// The turn's id; event ids are `<job>:<seq>`.
    pub fn job(&self) -> &JobId {
        &self.shared.job
    }

    /// The next event and its number, which counts from 0 and may jump in the replay of a stored answer. `None` after the
    /// last event, and without one when the turn went on elsewhere: [`crate::Registry::follow`] finds it. Safe to drop while
    /// it waits.
    pub async fn next(&mut self) -> Option<(u64, TurnEvent)> {
        loop {
            self.grown.borrow_and_update();
            if let Some(found) = self.ready() {
                return found;
            }
            self.grown.changed().await.ok()?;
        }
    }

    /// Resumes: the next event is the first one whose number is at least `seq` (after a `Last-Event-ID` of `<job>:7`, 8).
    pub fn skip_to(&mut self, seq: u64) {
        self.next = seq;
    }

    /// The turn's last event, for one who is no reader: the turn may be abandoned meanwhile. `None` once it goes on elsewhere.
    pub fn ending(&self) -> impl Future<Output = Option<TurnEvent>> + Send + use<> {
        let (shared, mut grown) = (self.shared.clone(), self.shared.grown.subscribe());
        async move {
            loop {
                grown.borrow_and_update();
                {
                    let events = shared.events();
                    if events.has_ended() {
                        return events.list.last().map(|(_, event)| event).filter(|event| event.is_last()).cloned();
                    }
                }
                grown.changed().await.ok()?;
            }
        }
    }

    /// The number of the event that comes next at the earliest.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// The engine's name of the model, once generation has begun.
    pub fn model(&self) -> Option<String> {
        self.shared.model.get().cloned()
    }

    /// `Some(None)`: the log has ended. `None`: wait.
    fn ready(&mut self) -> Option<Option<(u64, TurnEvent)>> {
        let events = self.shared.events();
        let place = events.list.partition_point(|(seq, _)| *seq < self.next);
        match events.list.get(place).cloned() {
            Some((seq, event)) => {
                self.next = seq + 1;
                Some(Some((seq, event)))
            }
            None => events.has_ended().then_some(None),
        }
    }
}

impl Clone for TurnStream {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone(), self.next)
    }
}

impl Drop for TurnStream {
    fn drop(&mut self) {
        self.shared.readers.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::FinishReason;

    fn log() -> TurnLog {
        TurnLog::new(JobId::parse("job_1").unwrap())
    }

    fn token(text: &str) -> TurnEvent {
        TurnEvent::token(text)
    }

    fn finished() -> TurnEvent {
        let (usage, citations) = (Default::default(), Vec::new());
        let (text, reasoning, tool_calls) = ("ab".into(), String::new(), Vec::new());
        let (finish_reason, degraded, origin) = (FinishReason::Stop, false, protocol::Origin::Model);
        TurnEvent::Finished { text, finish_reason, usage, citations, reasoning, tool_calls, degraded, origin }
    }

    #[tokio::test]
    async fn readers_wait_for_events_and_end_with_the_last() {
        let log = log();
        let mut reader = log.reader();
        let read = tokio::spawn(async move { (reader.next().await, reader.next().await, reader.next().await) });
        tokio::task::yield_now().await;
        assert_eq!(log.emit(token("a")), Some(0));
        assert_eq!(log.emit(finished()), Some(1));
        assert_eq!(log.emit(token("late")), None);
        assert_eq!(read.await.unwrap(), (Some((0, token("a"))), Some((1, finished())), None));
    }

    #[tokio::test]
    async fn a_reader_resumes_where_it_is_told() {
        let log = log();
        for text in ["a", "b"] {
            log.emit(token(text));
        }
        let mut reader = log.reader();
        reader.skip_to(1);
        assert_eq!(reader.clone().next().await, Some((1, token("b"))));
        assert_eq!(reader.next().await, Some((1, token("b"))));
    }

    #[tokio::test]
    async fn a_log_whose_writer_is_gone_ends_with_a_failure() {
        let log = log();
        let mut reader = log.reader();
        log.emit(token("a"));
        drop(log);
        reader.next().await;
        assert!(
            matches!(reader.next().await, Some((1, TurnEvent::Failed(failure))) if failure.code == ErrorCode::Unavailable)
        );
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn it_is_abandoned_when_nobody_has_read_for_the_grace() {
        let log = log();
        let (first, grace) = (log.reader(), Duration::from_millis(40));
        let abandoned = tokio::spawn(log.abandoned(grace, false));
        let second = first.clone();
        drop(first);
        tokio::time::sleep(2 * grace).await;
        assert!(!abandoned.is_finished(), "the second still reads");
        drop(second);
        let back = log.reader();
        tokio::time::sleep(2 * grace).await;
        assert!(!abandoned.is_finished(), "somebody came back in time");
        drop(back);
        abandoned.await.unwrap();
    }
}
