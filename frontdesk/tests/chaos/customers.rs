//! Customers: good clients, who come back with what they have seen, and some who never do.

use crate::{
    checker::mark,
    record::{Conversation, Message, Seen, View},
    talk::{Back, Call, Events, NoStream, Way},
};
use fastrand::Rng;
use futures_util::future::join;
use protocol::TurnEvent;
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::sleep};

/// Messages of one session.
const MESSAGES: std::ops::RangeInclusive<usize> = 3..=8;
/// Of so many events a customer looks away after one, and reads on.
const LOOKS_AWAY: u32 = 40;
/// A refusal is respected for at most this long.
const BACK_OFF: Duration = Duration::from_millis(1_000);
/// How long customers are served after the last fault before they give up.
const QUIET: Duration = Duration::from_secs(60);
const WORDS: &[&str] = &["order", "invoice", "parcel", "refund", "address", "warranty", "size", "colour", "return"];

/// What all customers of a run share.
pub struct Shop {
    pub http: reqwest::Client,
    /// Of the gateways.
    pub urls: Vec<String>,
    /// Every conversation so far.
    pub book: Mutex<Vec<Conversation>>,
    /// When the last fault ended: nobody begins anything new.
    closed: Mutex<Option<Instant>>,
}

impl Shop {
    pub fn new(http: reqwest::Client, urls: Vec<String>) -> Arc<Self> {
        Arc::new(Self { http, urls, book: Mutex::default(), closed: Mutex::default() })
    }

    pub fn close(&self) {
        self.closed.lock().unwrap().get_or_insert_with(Instant::now);
    }

    fn is_closed(&self) -> bool {
        self.closed.lock().unwrap().is_some()
    }

    fn is_over(&self) -> bool {
        self.closed.lock().unwrap().is_some_and(|since| since.elapsed() > QUIET)
    }

    pub fn url<'a>(&'a self, rng: &mut Rng) -> &'a str {
        rng.choice(&self.urls).unwrap()
    }
}

/// One who talks, in one session after another.
pub struct Customer {
    pub shop: Arc<Shop>,
    pub tenant: &'static str,
    pub key: &'static str,
    /// Letters and digits, unlike any other customer's.
    pub name: String,
    pub rng: Rng,
}

impl Customer {
    /// Talks until the shop closes.
    pub async fn visit(mut self) {
        for number in 0.. {
            if self.shop.is_closed() {
                return;
            }
            if let Some(session) = self.create().await {
                self.converse(session, &format!("{}s{number}", self.name)).await;
            }
        }
    }

    async fn create(&mut self) -> Option<String> {
        let url = format!("{}/v1/sessions", self.shop.url(&mut self.rng));
        let sent = self.shop.http.post(url).bearer_auth(self.key).timeout(BACK_OFF * 5).send().await;
        match sent {
            Ok(answer) if answer.status() == 201 => {
                answer.json::<Value>().await.ok().map(|view| view["id"].as_str().unwrap().into())
            }
            _ => {
                sleep(BACK_OFF / 4).await;
                None
            }
        }
    }

    async fn converse(&mut self, session: String, name: &str) {
        let book = Conversation { tenant: self.tenant.into(), session: session.clone(), ..Conversation::default() };
        let place = {
            let mut all = self.shop.book.lock().unwrap();
            all.push(book);
            all.len() - 1
        };
        let (ticks, count) = (AtomicU64::default(), self.rng.usize(MESSAGES));
        let way = if self.rng.bool() { Way::Sse } else { Way::Socket };
        let mut number = 0;
        while number < count && !self.shop.is_closed() {
            sleep(Duration::from_millis(self.rng.u64(0..300))).await;
            let burst = if self.rng.u8(0..4) == 0 { 2 } else { 1 };
            let leaves = number + burst >= count && self.rng.bool();
            let mut said: Vec<_> = (0..burst).map(|n| self.message(&format!("{name}m{}", number + n))).collect();
            number += burst;
            let mut pursue = |message, leaves: bool, accepted| {
                let leaves = leaves.then(|| self.rng.usize(0..4));
                let (shop, rng) = (self.shop.clone(), self.rng.fork());
                let pursuit = Pursuit { shop, key: self.key, session: session.clone(), way, rng, leaves, accepted };
                pursuit.run(message, &ticks)
            };
            let (accepted, is_accepted) = oneshot::channel();
            let second = said.get(1).cloned().map(|message| pursue(message, leaves, None));
            let first = pursue(said.swap_remove(0), leaves && burst == 1, Some(accepted));
            let second = async move {
                // The second is sent as soon as the first is taken, or has come to nothing.
                let _ = is_accepted.await;
                Some(second?.await)
            };
            let (first, second) = join(first, second).await;
            let mut all = self.shop.book.lock().unwrap();
            all[place].messages.extend([Some(first), second].into_iter().flatten());
        }
    }

    fn message(&mut self, name: &str) -> Message {
        let mut words: Vec<_> = (0..self.rng.usize(4..30)).map(|_| *self.rng.choice(WORDS).unwrap()).collect();
        let mark = mark(name);
        words.insert(self.rng.usize(0..words.len()), &mark);
        Message { id: format!("id-{name}"), text: words.join(" "), mark: mark.clone(), ..Message::default() }
    }
}

/// The way of one message to its answer.
struct Pursuit {
    shop: Arc<Shop>,
    key: &'static str,
    session: String,
    way: Way,
    rng: Rng,
    /// The customer leaves for good when the message is taken and so many events were seen.
    leaves: Option<usize>,
    /// Told when the message is taken.
    accepted: Option<oneshot::Sender<()>>,
}

impl Pursuit {
    async fn run(mut self, message: Message, ticks: &AtomicU64) -> Message {
        let begin = Instant::now();
        let message = self.pursue(message, ticks).await;
        Message { took: begin.elapsed(), ..message }
    }

    async fn pursue(&mut self, mut message: Message, ticks: &AtomicU64) -> Message {
        message.sent = ticks.fetch_add(1, Ordering::SeqCst);
        let mut after = None;
        while !self.shop.is_over() {
            match self.open(&message, &mut after).await {
                Ok(events) => {
                    message.views.push(View { after: after.clone(), events: Vec::new() });
                    match self.read(events, &mut message, ticks).await {
                        Next::Done => return message,
                        Next::Resume => after = message.views.last().and_then(last).or(after),
                        Next::Repeat(pause) => {
                            after = None;
                            sleep(pause).await;
                        }
                    }
                }
                Err(no) => {
                    message.refusals += 1;
                    sleep(self.pause(&no)).await;
                }
            }
        }
        message
    }

    /// On a socket a message that is sent again is answered from its beginning.
    async fn open(&mut self, message: &Message, after: &mut Option<(String, u64)>) -> Result<Events, NoStream> {
        let back = if self.rng.bool() { Back::Message } else { Back::Turn };
        if (self.way, back) == (Way::Socket, Back::Message) {
            *after = None;
        }
        let (url, text) = (self.shop.url(&mut self.rng), message.text.as_str());
        let (key, session, id, after) = (self.key, self.session.as_str(), message.id.as_str(), after.clone());
        Call { http: &self.shop.http, url, key, session, id, text, after }.open(self.way, back).await
    }

    /// Reads to the end, or until it breaks.
    async fn read(&mut self, mut events: Events, message: &mut Message, ticks: &AtomicU64) -> Next {
        let mut is_accepted = events.is_accepted();
        loop {
            if is_accepted {
                message.accepted.get_or_insert_with(|| ticks.fetch_add(1, Ordering::SeqCst));
                self.accepted.take().map(|accepted| accepted.send(()));
                let seen = message.views.last().map_or(0, |view| view.events.len());
                if self.leaves.is_some_and(|after| seen >= after) {
                    message.left = true;
                    return Next::Done;
                }
            }
            let seen = match events.next().await {
                Ok(seen) => seen,
                Err(NoStream::Broken) => return Next::Resume,
                Err(no) => return Next::Repeat(self.pause(&no)),
            };
            is_accepted = true;
            let next = after(&seen);
            message.views.last_mut().unwrap().events.push(seen);
            if let Some(next) = next {
                return next;
            }
            if self.rng.u32(0..LOOKS_AWAY) == 0 {
                return Next::Resume;
            }
        }
    }

    fn pause(&mut self, no: &NoStream) -> Duration {
        match no {
            NoStream::Refused(after) => (*after).min(BACK_OFF),
            NoStream::Broken => Duration::from_millis(self.rng.u64(20..200)),
        }
    }
}

/// What the customer does when a stream has ended.
enum Next {
    Done,
    /// Go on after what was seen.
    Resume,
    /// Send the message again.
    Repeat(Duration),
}

/// What follows from an event, if anything does.
fn after(seen: &Seen) -> Option<Next> {
    match &seen.event {
        TurnEvent::Finished { .. } => Some(Next::Done),
        TurnEvent::Failed(_) => Some(Next::Repeat(BACK_OFF)),
        _ => None,
    }
}

fn last(view: &View) -> Option<(String, u64)> {
    view.events.last().map(|seen| (seen.job.clone(), seen.seq))
}
