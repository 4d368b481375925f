//! All queues behind one lock.

use super::{
    queue::{Death, Item, Queue, Taker},
    settle::MemorySettle,
};
use crate::{
    BrokerError, Clock, Delivery, Message,
    broker::{DeadLetter, Incoming, Reason, broadcasts::LAG},
    clock::System,
};
use bytes::Bytes;
use protocol::topology::{
    DEAD_LETTERS, DEAD_LETTERS_MAX, DELIVERY_LIMIT, INFERENCE, OwnQueue, REPLIES_MAX, WORK_QUEUES, WorkQueue,
};
use serde_json::Map;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep_until},
};

pub(super) type Shared = Mutex<State>;

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    Ack,
    Requeue,
    SendOn,
    DeadLetter(Reason, &'a str),
}

pub(super) struct State {
    me: Weak<Shared>,
    queues: HashMap<String, Queue>,
    replies: HashMap<String, mpsc::Sender<Incoming>>,
    exchanges: HashMap<String, broadcast::Sender<Bytes>>,
    /// Who looks through the dead letters.
    reader: Option<u64>,
    last_id: u64,
}

pub(super) fn shared() -> Arc<Shared> {
    Arc::new_cyclic(|me| {
        let dead = (DEAD_LETTERS.to_owned(), Queue::new(DEAD_LETTERS_MAX));
        let work = WORK_QUEUES.iter().map(|queue| (queue.name.to_owned(), Queue::new(queue.max_length)));
        let queues = work.chain([dead]).collect();
        let (me, replies, exchanges) = (me.clone(), HashMap::new(), HashMap::new());
        Mutex::new(State { me, queues, replies, exchanges, reader: None, last_id: 0 })
    })
}

pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves on, at `due`, what has waited for too long.
pub(super) async fn expire_at(shared: Weak<Shared>, due: Instant) {
    sleep_until(due).await;
    if let Some(shared) = shared.upgrade() {
        lock(&shared).expire();
    }
}

impl State {
    /// Returns when the broker must be looked after, if the message may have to move on by then.
    pub fn publish(&mut self, queue: &str, message: Message) -> Result<Option<Instant>, BrokerError> {
        self.expire();
        if queue == DEAD_LETTERS {
            self.bury(Item::new(message.body, None));
            return Ok(None);
        }
        let Some(work) = self.queues.get_mut(queue).filter(|work| work.is_bound()) else {
            return self.reply(queue, message.body).map(|()| None);
        };
        if work.is_full() {
            return Err(BrokerError::Full(queue.into()));
        }
        let expires = work.expires(message.ttl);
        let due = expires.filter(|_| work.is_own());
        work.push(Item::new(message.body, expires));
        self.dispatch(queue);
        Ok(due)
    }

    pub fn consume(&mut self, queue: WorkQueue, prefetch: u16) -> (u64, mpsc::Receiver<Delivery>) {
        self.queues.entry(queue.name.to_owned()).or_insert_with(|| Queue::new(queue.max_length));
        self.take_from(queue.name, prefetch)
    }

    pub fn consume_own(&mut self, queue: &OwnQueue, prefetch: u16) -> (u64, mpsc::Receiver<Delivery>) {
        self.queues.entry(queue.name.clone()).or_insert_with(|| Queue::own(queue));
        self.take_from(&queue.name, prefetch)
    }

    fn take_from(&mut self, queue: &str, prefetch: u16) -> (u64, mpsc::Receiver<Delivery>) {
        let prefetch = usize::from(prefetch.max(1));
        let (sender, receiver) = mpsc::channel(u16::MAX.into());
        let id = self.next_id();
        if let Some(work) = self.queues.get_mut(queue) {
            work.add_taker(Taker { id, prefetch, in_flight: 0, sender });
        }
        self.expire();
        self.dispatch(queue);
        (id, receiver)
    }

    /// A taker may hold at most `most` from now on; one that stops lets publishers find a worker's own queue no more.
    pub fn limit(&mut self, queue: &str, taker: u64, most: u16, stops: bool) {
        if let Some(work) = self.queues.get_mut(queue) {
            work.limit_taker(taker, most);
            if stops {
                work.hide();
            }
        }
        self.expire();
        self.dispatch(queue);
    }

    /// Ends a consumer; what it had not settled returns to the queue.
    pub fn end(&mut self, queue: &str, taker: u64) {
        let items = self.queues.get_mut(queue).map(|work| work.remove_taker(taker)).unwrap_or_default();
        items.into_iter().for_each(|item| self.give_back(queue, item));
        self.expire();
        self.dispatch(queue);
    }

    /// Settles a delivery; false when it had been settled or handed back already.
    pub fn settle(&mut self, queue: &str, tag: u64, outcome: Outcome<'_>) -> bool {
        let Some(item) = self.queues.get_mut(queue).and_then(|work| work.settle(tag)) else {
            return false;
        };
        match outcome {
            Outcome::Ack => {}
            Outcome::Requeue => self.give_back(queue, item),
            Outcome::SendOn if self.is_own(queue) => self.spill(item),
            Outcome::SendOn => self.give_back(queue, item),
            Outcome::DeadLetter(reason, why) => self.die(queue, item, reason, why),
        }
        self.expire();
        self.dispatch(queue);
        true
    }

    pub fn replies(&mut self, queue: &str) -> Result<mpsc::Receiver<Incoming>, BrokerError> {
        self.replies.retain(|_, reader| !reader.is_closed());
        if self.replies.contains_key(queue) {
            return Err(BrokerError::Misconfigured(format!(
                "queue {queue} has a reader already: node ids must differ"
            )));
        }
        let (sender, receiver) = mpsc::channel(REPLIES_MAX as usize);
        self.replies.insert(queue.to_owned(), sender);
        Ok(receiver)
    }

    pub fn exchange(&mut self, exchange: &str) -> &broadcast::Sender<Bytes> {
        self.exchanges.entry(exchange.to_owned()).or_insert_with(|| broadcast::Sender::new(LAG))
    }

    pub fn depth(&mut self, queue: &str) -> Result<u32, BrokerError> {
        self.expire();
        let work = self.queues.get(queue).map(Queue::len);
        let reply = || self.replies.get(queue).filter(|reader| !reader.is_closed());
        let length = work.or_else(|| reply().map(|reader| reader.max_capacity() - reader.capacity()));
        let length = length.ok_or_else(|| BrokerError::Unroutable(queue.into()))?;
        Ok(u32::try_from(length).unwrap_or(u32::MAX))
    }

    /// A reader's id and how many dead letters it may see; `None`: there is a reader.
    pub fn open_dead_letters(&mut self) -> Option<(u64, usize)> {
        if self.reader.is_some() {
            return None;
        }
        self.expire();
        let id = self.next_id();
        self.reader = Some(id);
        Some((id, self.queues.get(DEAD_LETTERS).map_or(0, Queue::len)))
    }

    pub fn next_dead_letter(&mut self, reader: u64) -> Option<DeadLetter> {
        let number = self.next_id();
        let Item { body, death, .. } = self.queues.get_mut(DEAD_LETTERS)?.hold(reader, number)?;
        let (queue, reason, why, died) = match death {
            Some(Death { queue, reason, why, at }) => (queue, reason, why, Some(at)),
            None => (String::new(), Reason::Unknown, String::new(), None),
        };
        Some(DeadLetter { number, body, queue, reason, why, died, headers: Map::new() })
    }

    pub fn remove_dead_letter(&mut self, number: u64) {
        self.queues.get_mut(DEAD_LETTERS).and_then(|dead| dead.settle(number));
    }

    pub fn close_dead_letters(&mut self, reader: u64) {
        self.reader = None;
        self.end(DEAD_LETTERS, reader);
    }

    fn reply(&mut self, queue: &str, body: Bytes) -> Result<(), BrokerError> {
        let reader = self.replies.get(queue).ok_or_else(|| BrokerError::Unroutable(queue.into()))?;
        match reader.try_send(Incoming::Reply(body)) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(BrokerError::Full(queue.into())),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.replies.remove(queue);
                Err(BrokerError::Unroutable(queue.into()))
            }
        }
    }

    fn give_back(&mut self, queue: &str, mut item: Item) {
        item.attempt += 1;
        if self.is_own(queue) {
            self.spill(item);
        } else if item.attempt > DELIVERY_LIMIT && queue != DEAD_LETTERS {
            self.die(queue, item, Reason::DeliveryLimit, "");
        } else if let Some(work) = self.queues.get_mut(queue) {
            work.push_returned(item);
        }
    }

    fn is_own(&self, queue: &str) -> bool {
        self.queues.get(queue).is_some_and(Queue::is_own)
    }

    fn late(&mut self, queue: &str, item: Item) {
        if self.is_own(queue) { self.spill(item) } else { self.die(queue, item, Reason::Expired, "") }
    }

    fn die(&mut self, queue: &str, item: Item, reason: Reason, why: &str) {
        let death = Death { queue: queue.into(), reason, why: why.into(), at: System.now() };
        self.bury(Item { death: Some(death), ..Item::new(item.body, None) });
    }

    /// From a worker's own queue to the shared one, where no time limit is kept of it, as in RabbitMQ.
    fn spill(&mut self, item: Item) {
        if let Some(work) = self.queues.get_mut(INFERENCE.name) {
            work.push(Item { expires: None, ..item });
        }
        self.dispatch(INFERENCE.name);
    }

    fn bury(&mut self, item: Item) {
        if let Some(dead) = self.queues.get_mut(DEAD_LETTERS) {
            if dead.is_full() {
                dead.pop();
            }
            dead.push(item);
        }
        self.dispatch(DEAD_LETTERS);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let expired = |queue: &mut Queue| std::iter::from_fn(|| queue.pop_expired(now)).collect::<Vec<_>>();
        let late = self.queues.iter_mut().map(|(name, queue)| (name, expired(queue)));
        let late: Vec<_> =
            late.filter(|(_, items)| !items.is_empty()).map(|(name, items)| (name.clone(), items)).collect();
        for (name, items) in late {
            items.into_iter().for_each(|item| self.late(&name, item));
        }
        self.queues.retain(|_, queue| !queue.is_forgotten(now));
    }

    fn dispatch(&mut self, queue: &str) {
        loop {
            let (tag, shared) = (self.next_id(), self.me.clone());
            let deliver = |item: &Item| {
                let settle = MemorySettle { shared, queue: queue.to_owned(), tag };
                Delivery::new(item.body.clone(), item.attempt, Box::new(settle))
            };
            if !self.queues.get_mut(queue).is_some_and(|work| work.deliver_one(tag, deliver)) {
                return;
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
