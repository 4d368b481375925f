//! Replies from the node's queue to the turns that await them.
//!
//! Each turn has an inbox of [`INBOX`] batches. The dispatcher never waits for a turn: what does not fit is dropped, and the
//! turn learns that frames are missing ([`Input::Lost`]) after those that did fit. When the queue itself was lost, every turn
//! learns it at once: an answer may have gone to nobody.

use crate::{json, turn::Input};
use protocol::{JobId, Reply};
use runtime::{Health, broker::Incoming};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, mpsc};

/// Batches of frames that wait for one turn.
const INBOX: usize = 128;

struct Route {
    frames: mpsc::Sender<Reply>,
    loss: Arc<Loss>,
}

/// Whether frames of a turn were dropped.
#[derive(Default)]
struct Loss {
    happened: AtomicBool,
    /// Wakes the turn that waits for frames which will not come.
    told: Notify,
}

impl Loss {
    fn tell(&self) {
        self.happened.store(true, Ordering::Release);
        self.told.notify_one();
    }

    fn take(&self) -> bool {
        self.happened.swap(false, Ordering::Acquire)
    }
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
        let loss = Arc::<Loss>::default();
        let key = turn_of(turn).to_string();
        self.lock().insert(key.clone(), Route { frames, loss: loss.clone() });
        Inbox { routes: self.clone(), key, receiver, loss }
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
            route.loss.tell();
        }
    }

    /// The queue was lost with what was in it, and with what workers sent meanwhile.
    fn renewed(&self) {
        let routes = self.lock();
        tracing::warn!(turns = routes.len(), "the reply queue was lost and renewed; running turns ask again");
        routes.values().for_each(|route| route.loss.tell());
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
    loss: Arc<Loss>,
}

impl Inbox {
    /// The next batch, or that some were dropped.
    pub async fn next(&mut self) -> Option<Input> {
        loop {
            if self.receiver.is_empty() && self.loss.take() {
                return Some(Input::Lost);
            }
            tokio::select! {
                biased;
                reply = self.receiver.recv() => return reply.map(Input::Reply),
                () = self.loss.told.notified() => {}
            }
        }
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
        match incoming {
            Incoming::Renewed => routes.renewed(),
            Incoming::Reply(body) => match serde_json::from_slice(&body) {
                Ok(reply) => routes.deliver(reply),
                Err(error) => {
                    tracing::warn!(bytes = body.len(), error = json::place(&error), "a reply cannot be read");
                }
            },
        }
    }
    health.unready("sessions", "the broker has closed the node's reply queue; restart this process");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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

    #[tokio::test]
    async fn turns_that_wait_learn_that_the_queue_was_lost() {
        let routes = Arc::new(Routes::default());
        let (incoming, replies) = mpsc::channel(4);
        let dispatcher = tokio::spawn(dispatch(replies, routes.clone(), Health::default()));
        let mut inboxes = ["a", "b"].map(|job| routes.open(&JobId::parse(job).unwrap()));
        let told = tokio::spawn(async move {
            for inbox in &mut inboxes {
                assert!(matches!(inbox.next().await, Some(Input::Lost)));
            }
            inboxes
        });
        tokio::task::yield_now().await;
        incoming.send(Incoming::Renewed).await.unwrap();
        let mut inboxes = tokio::time::timeout(Duration::from_secs(5), told).await.unwrap().unwrap();
        incoming.send(Incoming::Reply(serde_json::to_vec(&reply("a.g1", 3)).unwrap().into())).await.unwrap();
        assert!(matches!(inboxes[0].next().await, Some(Input::Reply(reply)) if reply.seq == 3));
        drop(incoming);
        dispatcher.await.unwrap();
    }
}
