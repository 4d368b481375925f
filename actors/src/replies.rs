//! Replies from the node's queue to the turns that await them.
//!
//! Each turn has an inbox of [`INBOX`] batches. The dispatcher never waits for a turn: what does not fit is dropped, and the
//! turn learns that frames are missing ([`Input::Lost`]) after those that did fit.

use crate::turn::Input;
use protocol::{JobId, Reply};
use runtime::{Health, broker::Incoming};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// Batches of frames that wait for one turn.
const INBOX: usize = 128;

struct Route {
    frames: mpsc::Sender<Reply>,
    has_lost: Arc<AtomicBool>,
}

/// Who awaits which job's replies. A job `<turn>.<part>` belongs to `<turn>`.
#[derive(Default)]
pub(crate) struct Routes {
    routes: Mutex<HashMap<String, Route>>,
    unknown: AtomicU64,
}

impl Routes {
    /// Awaits the replies to `turn`'s jobs; to be called before the first is published.
    pub fn open(self: &Arc<Self>, turn: &JobId) -> Inbox {
        let (frames, receiver) = mpsc::channel(INBOX);
        let has_lost = Arc::new(AtomicBool::new(false));
        let key = turn_of(turn).to_string();
        self.lock().insert(key.clone(), Route { frames, has_lost: has_lost.clone() });
        Inbox { routes: self.clone(), key, receiver, has_lost }
    }

    /// Replies that nobody awaited, so far.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    fn deliver(&self, reply: Reply) {
        let routes = self.lock();
        let Some(route) = routes.get(turn_of(&reply.job)) else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if route.frames.try_send(reply).is_err() {
            route.has_lost.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Route>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn turn_of(job: &JobId) -> &str {
    job.as_str().split('.').next().unwrap_or_default()
}

/// The replies to one turn's jobs; dropping it ends the route.
pub(crate) struct Inbox {
    routes: Arc<Routes>,
    key: String,
    receiver: mpsc::Receiver<Reply>,
    has_lost: Arc<AtomicBool>,
}

impl Inbox {
    /// The next batch, or that some were dropped.
    pub async fn next(&mut self) -> Option<Input> {
        if self.receiver.is_empty() && self.has_lost.swap(false, Ordering::Acquire) {
            return Some(Input::Lost);
        }
        self.receiver.recv().await.map(Input::Reply)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.routes.lock().remove(&self.key);
    }
}

/// Hands out the node's replies until the broker has shut down for good.
pub(crate) async fn dispatch(mut replies: mpsc::Receiver<Incoming>, routes: Arc<Routes>, health: Health) {
    while let Some(incoming) = replies.recv().await {
        let Incoming::Reply(body) = incoming else { continue };
        match serde_json::from_slice(&body) {
            Ok(reply) => routes.deliver(reply),
            Err(error) => tracing::warn!(bytes = body.len(), %error, "a reply cannot be read"),
        }
    }
    health.unready("sessions", "the broker has closed the node's reply queue; restart this process");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(job: &str, seq: u64) -> Reply {
        Reply { job: JobId::parse(job).unwrap(), attempt: 0, delivery: 0, seq, events: Vec::new() }
    }

    #[tokio::test]
    async fn replies_reach_the_turn_of_their_job_and_nobody_else() {
        let routes = Arc::new(Routes::default());
        let (mut a, b) = (routes.open(&JobId::parse("a").unwrap()), routes.open(&JobId::parse("b").unwrap()));
        routes.deliver(reply("a.g0", 7));
        routes.deliver(reply("c.g0", 8));
        assert!(matches!(a.next().await, Some(Input::Reply(reply)) if reply.seq == 7));
        assert!(b.receiver.is_empty());
        assert_eq!(routes.unknown(), 1);
        drop((a, b));
        assert!(routes.lock().is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_falls_behind_learns_of_its_loss_after_what_fitted() {
        let routes = Arc::new(Routes::default());
        let mut inbox = routes.open(&JobId::parse("a").unwrap());
        (0..INBOX as u64 + 3).for_each(|seq| routes.deliver(reply("a.g0", seq)));
        for seq in 0..INBOX as u64 {
            assert!(matches!(inbox.next().await, Some(Input::Reply(reply)) if reply.seq == seq));
        }
        assert!(matches!(inbox.next().await, Some(Input::Lost)));
        assert!(inbox.receiver.is_empty());
    }
}
