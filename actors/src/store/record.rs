//! One session in a store, and the rules of writing to it: pure, so that every order of writes can be tried.
//!
//! A claim raises the epoch, and whoever writes under an older one is refused: of all who believe to own a session at most
//! one writes. An accepted message is *open* until its answer is saved; what was shown of the answer is kept until then. So
//! the next owner goes on where the last one ended, with no event twice and none missing.

use super::{Member, StoreError};
use bytes::Bytes;
use protocol::JobId;
use std::collections::BTreeMap;

/// How often a session was written, and under which ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version {
    /// Counts claims: the owner's fencing epoch.
    pub epoch: u64,
    /// Counts saves.
    pub write: u64,
}

impl Version {
    /// The next save of the same owner.
    pub fn next(self) -> Self {
        Self { write: self.write + 1, ..self }
    }
}

/// The events of the turn that runs, as far as anybody may have seen them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The turn.
    pub turn: JobId,
    /// Serialized, from number 0 on.
    pub events: Vec<Bytes>,
}

/// A session as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// What the next save must expect.
    pub version: Version,
    /// Who may write, if anybody claimed it and did not release it.
    pub owner: Option<Member>,
    /// The serialized session.
    pub state: Bytes,
    /// Messages that were accepted and are not answered, by their turns.
    pub open: BTreeMap<JobId, Bytes>,
    /// What was shown of the first of them.
    pub shown: Option<Shown>,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The session is the claimer's, as it is here.
    Owned(Record),
    /// Another member owns it.
    Held(Member),
}

impl Record {
    /// A new session, which nobody owns.
    pub fn new(state: Bytes) -> Self {
        let version = Version { epoch: 0, write: 1 };
        Self { version, owner: None, state, open: BTreeMap::new(), shown: None }
    }

    /// `by` takes the session, unless somebody else owns it who is not `instead_of`, which `by` knows to be dead.
    pub fn claim(&mut self, by: &Member, instead_of: Option<&Member>) -> Claim {
        match &self.owner {
            Some(owner) if owner != by && Some(owner) != instead_of => Claim::Held(owner.clone()),
            _ => {
                self.version.epoch += 1;
                self.owner = Some(by.clone());
                Claim::Owned(self.clone())
            }
        }
    }

    /// Keeps `message` until the answer of `turn` is saved or the turn is closed; again to change what is kept.
    pub fn accept(&mut self, epoch: u64, turn: &JobId, message: Bytes) -> Result<(), StoreError> {
        self.fence(epoch)?;
        self.open.insert(turn.clone(), message);
        Ok(())
    }

    /// Keeps `events` of `turn`, the first of them with the number `from`; a repeat has no effect, however late it comes, others
    /// take the place of what was there, and another turn takes the place of the last one.
    pub fn show(&mut self, epoch: u64, turn: &JobId, from: usize, events: &[Bytes]) -> Result<(), StoreError> {
        self.fence(epoch)?;
        let shown = match self.shown.take() {
            Some(shown) if shown.turn == *turn => shown,
            _ => Shown { turn: turn.clone(), events: Vec::new() },
        };
        let shown = self.shown.insert(shown);
        let Some(there) = shown.events.get(from..) else { return Err(StoreError::Conflict) };
        if !there.starts_with(events) {
            shown.events.truncate(from);
            shown.events.extend_from_slice(events);
        }
        Ok(())
    }

    /// Writes the session with the answer of `turn`, which is not open any more.
    pub fn save(&mut self, expected: Version, state: Bytes, turn: &JobId) -> Result<(), StoreError> {
        if self.version != expected {
            return Err(StoreError::Conflict);
        }
        (self.version, self.state) = (expected.next(), state);
        self.forget(turn);
        Ok(())
    }

    /// Ends `turn` without an answer.
    pub fn close(&mut self, epoch: u64, turn: &JobId) -> Result<(), StoreError> {
        self.fence(epoch)?;
        self.forget(turn);
        Ok(())
    }

    /// Gives the session up; nothing happens when it was claimed since.
    pub fn release(&mut self, epoch: u64) {
        if self.version.epoch == epoch {
            self.owner = None;
        }
    }

    fn fence(&self, epoch: u64) -> Result<(), StoreError> {
        if self.version.epoch == epoch { Ok(()) } else { Err(StoreError::Conflict) }
    }

    fn forget(&mut self, turn: &JobId) {
        self.open.remove(turn);
        self.shown.take_if(|shown| shown.turn == *turn);
    }
}

/// Of the open messages in their order, those that are to be answered, and those that are not: answered ones and copies. Of
/// several copies of a message the last one counts, for a client heard of no other; `name` tells what is a copy of what.
pub fn unanswered<T, N: PartialEq>(
    open: Vec<T>,
    name: impl Fn(&T) -> Option<N>,
    is_answered: impl Fn(&N) -> bool,
) -> (Vec<T>, Vec<T>) {
    let names: Vec<Option<N>> = open.iter().map(name).collect();
    let counts = |at: usize| {
        names[at].as_ref().is_none_or(|name| !is_answered(name) && !names[at + 1..].iter().flatten().any(|n| n == name))
    };
    let mut places = 0..;
    open.into_iter().partition(|_| places.next().is_some_and(counts))
}
