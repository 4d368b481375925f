//! What a world is asked and told, and the promises that each telling is held against.

use crate::world::{Actor, Call, Holding, Message, Op, Phase, World, answers};
use actors::store::Member;
use bytes::Bytes;
use std::collections::BTreeSet;

pub const STALE: &str = "no write of an older claim takes effect after a newer one";
pub const TORN: &str = "what was seen of an answer stays as it is";
pub const TWICE: &str = "a message has one answer";
pub const ORDER: &str = "messages are answered in the order of their acceptance";

impl World {
    pub fn holding(&self, n: usize) -> Option<&Holding> {
        match &self.nodes[n].actor.as_ref()?.phase {
            Phase::Holding(holding) => Some(holding),
            Phase::Claiming(_) => None,
        }
    }

    /// Whether the customer may send the message to this node now.
    pub fn takes(&self, n: usize, message: Message) -> bool {
        let is_answered = self.customer[message].answer.is_some();
        // The second message is sent once the first is accepted.
        let is_its_turn = message == 0 || self.accepted.contains(&(message - 1));
        let is_busy = self.holding(n).is_some_and(|holding| holding.is_accepting);
        self.left.sends[message] > 0 && !is_answered && is_its_turn && !is_busy
    }

    /// Somebody who lives cares for the session.
    pub fn adopted(&mut self, n: usize) {
        if let Some(of) = self.nodes[n].adopts.take() {
            self.index.remove(&of);
        }
    }

    pub fn change(&mut self, n: usize, change: impl FnOnce(&mut Holding)) {
        if let Some(Actor { phase: Phase::Holding(holding), .. }) = &mut self.nodes[n].actor {
            change(holding);
        }
    }

    /// A new actor asks for the session.
    pub fn claim(&mut self, n: usize, instead_of: Option<Member>, waiting: Vec<Message>) {
        // A node whose lease ran out claims nothing.
        if self.dead.contains(&self.nodes[n].member) {
            return;
        }
        self.actors += 1;
        self.nodes[n].actor = Some(Actor { number: self.actors, phase: Phase::Claiming(waiting) });
        let by = self.nodes[n].member.clone();
        self.call(n, Op::Claim(by, instead_of), false);
    }

    pub fn call(&mut self, node: usize, op: Op, is_again: bool) {
        let Some(actor) = &self.nodes[node].actor else { return };
        let (claim, epoch) = self.holding(node).map_or((0, 0), |holding| (holding.claim, holding.epoch));
        self.flight.push(Call { node, actor: actor.number, claim, epoch, op, is_again, outcome: None });
    }

    pub fn start_next(&mut self, n: usize) {
        let mut begun = None;
        self.change(n, |holding| {
            if holding.running.is_none() && !holding.queue.is_empty() {
                holding.running = Some(holding.queue.remove(0));
                begun = holding.running.clone();
            }
        });
        // Who follows the turn sees what was shown of it.
        if let Some(turn) = begun {
            turn.shown.iter().enumerate().for_each(|(at, event)| self.saw(turn.message, at, event));
        }
    }

    /// The customer sees an event with its number.
    pub fn saw(&mut self, message: Message, at: usize, event: &Bytes) {
        let events = &mut self.customer[message].events;
        match events.get(at) {
            Some(earlier) if earlier == event => {}
            None if events.len() == at => events.push(event.clone()),
            _ => drop(self.broken.get_or_insert(TORN)),
        }
    }

    pub fn answered(&mut self, message: Message, answer: &Bytes) {
        let seen = &mut self.customer[message];
        if *answer != seen.events.concat() && !seen.events.is_empty() && !answer.starts_with(&seen.events.concat()) {
            self.broken.get_or_insert(TORN);
        }
        if seen.answer.get_or_insert_with(|| answer.clone()) != answer {
            self.broken.get_or_insert(TWICE);
        }
    }

    pub fn check_store(&mut self) {
        let stored: Vec<Message> = answers(&self.record.state).iter().map(|(message, _)| *message).collect();
        if stored.iter().collect::<BTreeSet<_>>().len() < stored.len() {
            self.broken.get_or_insert(TWICE);
        }
        let known: Vec<&Message> = stored.iter().filter(|message| self.accepted.contains(message)).collect();
        let order: Vec<&Message> = self.accepted.iter().filter(|message| stored.contains(message)).collect();
        if known != order {
            self.broken.get_or_insert(ORDER);
        }
    }
}
