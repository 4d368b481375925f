//! What there is: the stored session, nodes and their actors, calls on their way, and what customers saw.

use actors::store::{Member, Record};
use bytes::Bytes;
use protocol::JobId;
use std::collections::{BTreeMap, BTreeSet};

/// Which of the customer's messages.
pub type Message = usize;

/// Everything, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The session in the store, under its real rules.
    pub record: Record,
    /// Members, dead or alive, under whom the session is noted as one with open messages, and their last accepted turn, or
    /// `None` for any; see [`actors::store::Members::orphans`].
    pub index: BTreeMap<Member, Option<JobId>>,
    /// Members whose lease has expired.
    pub dead: BTreeSet<Member>,
    pub nodes: Vec<Node>,
    /// Calls to the store that are on their way there or back.
    pub flight: Vec<Call>,
    pub customer: Vec<Seen>,
    /// What may still go wrong.
    pub left: Budget,
    /// Messages in the order in which their customers heard that they were accepted.
    pub accepted: Vec<Message>,
    /// Claims so far; turns so far; actors so far.
    pub claims: u32,
    pub turns: u32,
    pub actors: u32,
    /// The promise that was broken first.
    pub broken: Option<&'static str>,
}

/// How often each may still happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Budget {
    pub sends: Vec<u8>,
    pub expiries: u8,
    pub crashes: u8,
    /// Calls that are lost, or whose answers are.
    pub losses: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    pub is_up: bool,
    pub member: Member,
    pub actor: Option<Actor>,
    /// Whose open messages it takes over.
    pub adopts: Option<Member>,
}

/// A session's actor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    pub number: u32,
    pub phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// These messages wait for its answer.
    Claiming(Vec<Message>),
    Holding(Holding),
}

/// What an actor knows that has claimed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holding {
    pub epoch: u64,
    pub write: u64,
    /// Which claim it was.
    pub claim: u32,
    pub state: Bytes,
    /// Whether a message is on its way into the store; then no other is taken.
    pub is_accepting: bool,
    pub next_place: u64,
    pub queue: Vec<Turn>,
    pub running: Option<Turn>,
    /// Whether the running turn waits for the store.
    pub is_asking: bool,
}

/// A turn that waits or runs, with what was shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Turn {
    pub id: JobId,
    pub message: Message,
    pub place: u64,
    pub shown: Vec<Bytes>,
}

/// What the customer saw of the answer to one message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    pub events: Vec<Bytes>,
    pub answer: Option<Bytes>,
}

/// A call of an actor to the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    pub node: usize,
    pub actor: u32,
    /// The claim under which it writes, its number and its epoch.
    pub claim: u32,
    pub epoch: u64,
    pub op: Op,
    /// Whether it was sent before.
    pub is_again: bool,
    /// `None` until the store has done it, or it was lost.
    pub outcome: Option<Outcome>,
}

impl Call {
    /// Calls are in no order; this one keeps equal worlds equal.
    pub fn key(&self) -> (usize, u32, u8, String, bool) {
        let (kind, turn) = match &self.op {
            Op::Claim(..) => (0, String::new()),
            Op::Accept(turn) => (1, turn.id.to_string()),
            Op::Show(turn, event) => (2, format!("{}{event:?}", turn.id)),
            Op::Save(turn, _) => (3, turn.id.to_string()),
            Op::Close(turn) => (4, turn.to_string()),
        };
        (self.node, self.actor, kind, turn, self.outcome.is_some())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// By the first, perhaps instead of the second.
    Claim(Member, Option<Member>),
    Accept(Turn),
    /// The next event of the turn.
    Show(Turn, Bytes),
    /// The state after the count of saves.
    Save(Turn, (u64, Bytes)),
    Close(JobId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    Owned(Record),
    Held(Member),
    Done,
    Conflict,
    /// No answer comes.
    Lost,
}

/// The answers in a stored state, in order: `message=text;…`.
pub fn answers(state: &Bytes) -> Vec<(Message, Bytes)> {
    let text = std::str::from_utf8(state).unwrap();
    let entry = |entry: &str| {
        let (message, answer) = entry.split_once('=').unwrap();
        (message.parse().unwrap(), Bytes::copy_from_slice(answer.as_bytes()))
    };
    text.split_terminator(';').map(entry).collect()
}

/// The state with one more answer.
pub fn with_answer(state: &Bytes, message: Message, answer: &Bytes) -> Bytes {
    let text = format!("{}{message}={};", std::str::from_utf8(state).unwrap(), std::str::from_utf8(answer).unwrap());
    text.into()
}

/// An open message as the store keeps it.
pub fn open(turn: &Turn) -> Bytes {
    format!("{}:{}:{}", turn.place, turn.message, turn.id).into()
}

/// The open messages of a record in their order, with what was shown of them.
pub fn opened(record: &Record) -> Vec<Turn> {
    let read = |bytes: &Bytes| {
        let text = std::str::from_utf8(bytes).unwrap().to_string();
        let [place, message, id] = text.splitn(3, ':').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let id = JobId::parse(id).unwrap();
        let shown = record.shown.as_ref().filter(|shown| shown.turn == id);
        let shown = shown.map(|shown| shown.events.clone()).unwrap_or_default();
        Turn { id, message: message.parse().unwrap(), place: place.parse().unwrap(), shown }
    };
    let mut turns: Vec<Turn> = record.open.values().map(read).collect();
    turns.sort_by_key(|turn| turn.place);
    turns
}
