//! One work queue: what waits, what is out for delivery, and who takes it.

use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

use crate::{Delivery, broker::Reason};
use protocol::{
    Timestamp,
    topology::{OWN_EXPIRES_MS, OWN_MAX, OwnQueue},
};

/// A message with what the broker knows of it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub body: Bytes,
    pub attempt: u32,
    pub expires: Option<Instant>,
    /// How it became a dead letter.
    pub death: Option<Death>,
}

impl Item {
    /// One that was not delivered yet.
    pub fn new(body: Bytes, expires: Option<Instant>) -> Self {
        Self { body, attempt: 0, expires, death: None }
    }
}

/// How a job died.
#[derive(Debug, Clone)]
pub(super) struct Death {
    pub queue: String,
    pub reason: Reason,
    pub why: String,
    pub at: Timestamp,
}

/// Someone who takes jobs; `sender` has room for any `prefetch`.
pub(super) struct Taker {
    pub id: u64,
    pub prefetch: usize,
    pub in_flight: usize,
    pub sender: mpsc::Sender<Delivery>,
}

/// What sets a worker's own queue apart.
struct Own {
    ttl: Duration,
    /// Whether it can be found by publishers.
    is_bound: bool,
    /// Since when nobody takes from it.
    unused: Option<Instant>,
}

/// Messages in order; returned ones go first, in the order of their return.
#[derive(Default)]
pub(super) struct Queue {
    pub max_length: usize,
    own: Option<Own>,
    returned: VecDeque<Item>,
    ready: VecDeque<Item>,
    /// By delivery tag, so in order of delivery; with the taker's id.
    unsettled: BTreeMap<u64, (u64, Item)>,
    /// The one whose turn is next is in front.
    takers: VecDeque<Taker>,
}

impl Queue {
    pub fn new(max_length: u32) -> Self {
        Self { max_length: max_length as usize, ..Self::default() }
    }

    pub fn own(queue: &OwnQueue) -> Self {
        let own = Own { ttl: Duration::from_millis(queue.ttl_ms.into()), is_bound: true, unused: None };
        Self { own: Some(own), ..Self::new(OWN_MAX) }
    }

    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    pub fn is_bound(&self) -> bool {
        self.own.as_ref().is_none_or(|own| own.is_bound)
    }

    /// A worker's own queue that nobody has taken from for long.
    pub fn is_forgotten(&self, now: Instant) -> bool {
        let unused = self.own.as_ref().and_then(|own| own.unused);
        unused.is_some_and(|since| now - since >= Duration::from_millis(OWN_EXPIRES_MS.into()))
    }

    /// When a message that lives for `ttl` expires here.
    pub fn expires(&self, ttl: Option<Duration>) -> Option<Instant> {
        let most = self.own.as_ref().map(|own| own.ttl);
        let ttl = ttl.into_iter().chain(most).min()?;
        Instant::now().checked_add(ttl)
    }

    pub fn len(&self) -> usize {
        self.returned.len() + self.ready.len()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= self.max_length
    }

    pub fn push(&mut self, item: Item) {
        self.ready.push_back(item);
    }

    pub fn push_returned(&mut self, item: Item) {
        self.returned.push_back(item);
    }

    pub fn pop(&mut self) -> Option<Item> {
        self.returned.pop_front().or_else(|| self.ready.pop_front())
    }

    /// Removes the first message if its time has run out.
    pub fn pop_expired(&mut self, now: Instant) -> Option<Item> {
        let first = self.returned.front().or(self.ready.front())?;
        if first.expires.is_some_and(|at| at <= now) { self.pop() } else { None }
    }

    pub fn add_taker(&mut self, taker: Taker) {
        self.takers.push_back(taker);
        if let Some(own) = &mut self.own {
            (own.is_bound, own.unused) = (true, None);
        }
    }

    pub fn limit_taker(&mut self, id: u64, most: u16) {
        if let Some(taker) = self.takers.iter_mut().find(|taker| taker.id == id) {
            taker.prefetch = usize::from(most);
        }
    }

    /// Lets publishers find a worker's own queue no more.
    pub fn hide(&mut self) {
        if let Some(own) = &mut self.own {
            own.is_bound = false;
        }
    }

    /// Removes a taker and returns what it had not settled, oldest first.
    pub fn remove_taker(&mut self, id: u64) -> Vec<Item> {
        self.takers.retain(|taker| taker.id != id);
        if let Some(own) = self.own.as_mut().filter(|_| self.takers.is_empty()) {
            own.unused = Some(Instant::now());
        }
        let tags: Vec<u64> = self.unsettled.iter().filter(|(_, (of, _))| *of == id).map(|(tag, _)| *tag).collect();
        tags.iter().filter_map(|tag| self.unsettled.remove(tag)).map(|(_, item)| item).collect()
    }

    /// Ends the delivery `tag`; `None` when it is no longer out.
    pub fn settle(&mut self, tag: u64) -> Option<Item> {
        let (id, item) = self.unsettled.remove(&tag)?;
        if let Some(taker) = self.takers.iter_mut().find(|taker| taker.id == id) {
            taker.in_flight -= 1;
        }
        Some(item)
    }

    /// Holds the first message for `reader`, who is no taker.
    pub fn hold(&mut self, reader: u64, tag: u64) -> Option<Item> {
        let item = self.pop()?;
        self.unsettled.insert(tag, (reader, item.clone()));
        Some(item)
    }

    /// Gives the first message to the next taker that has room; `deliver` makes the delivery. False: nothing to do.
    pub fn deliver_one(&mut self, tag: u64, deliver: impl FnOnce(&Item) -> Delivery) -> bool {
        let Some(position) = self.takers.iter().position(|taker| taker.in_flight < taker.prefetch) else {
            return false;
        };
        self.takers.rotate_left(position);
        let Some(item) = self.pop() else { return false };
        let Some(taker) = self.takers.front_mut() else {
            return false;
        };
        if let Ok(place) = taker.sender.try_reserve() {
            place.send(deliver(&item));
        }
        taker.in_flight += 1;
        self.unsettled.insert(tag, (taker.id, item));
        self.takers.rotate_left(1);
        true
    }
}
