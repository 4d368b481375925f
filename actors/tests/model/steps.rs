//! What may happen next, and what it changes: nodes as `actors/src/session` has them, the store by its real rules.

use crate::promises::STALE;
use crate::world::{
    Actor, Budget, Call, Holding, Message, Node, Op, Outcome, Phase, Seen, Turn, World, answers, open, opened,
    with_answer,
};
use actors::store::{Claim, Member, Record, StoreError, Version, record::unanswered};
use bytes::Bytes;
use protocol::{JobId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The customer sends a message, perhaps again, to a node.
    Send(Message, usize),
    /// The store does a call.
    Apply(usize),
    /// An actor hears what came of its call.
    Answer(usize),
    /// A call is lost before it arrives, or its answer is.
    Lose(usize),
    /// The running turn of a node has something to show, or is whole.
    Generate(usize),
    /// The lease of a node runs out: it is paused, or cut off.
    Expire(usize),
    /// A node learns that its lease had run out.
    Learn(usize),
    Crash(usize),
    /// A node finds open messages of a dead one.
    Adopt(usize),
}

/// A defect that the checker must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Two owners have one epoch.
    ClaimKeepsEpoch,
    SaveIgnoresEpoch,
    /// A customer sees an event before the store has it.
    ShowsBeforeStored,
    /// Who takes a session over begins its answers anew.
    ForgetsShown,
    /// Of two copies of a message the one is answered of which no client heard.
    AnswersFirstCopy,
    NobodyAdopts,
    /// A node that finds another owner forgets an open message, which that one may not have noted yet.
    ForgetsWhatOthersOwn,
}

/// How large the world is, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Protocol {
    pub nodes: usize,
    /// Events of an answer before it is whole.
    pub events: usize,
    pub budget: Budget,
    pub defect: Option<Defect>,
}

impl Protocol {
    pub fn begin(&self) -> World {
        let node = |n: usize| Node {
            is_up: true,
            member: Member::new(NodeId::parse(format!("n{n}")).unwrap()),
            actor: None,
            adopts: None,
        };
        World {
            record: Record::new(Bytes::new()),
            index: BTreeMap::new(),
            dead: BTreeSet::new(),
            nodes: (0..self.nodes).map(node).collect(),
            flight: Vec::new(),
            customer: vec![Seen::default(); self.budget.sends.len()],
            left: self.budget.clone(),
            accepted: Vec::new(),
            claims: 0,
            turns: 0,
            actors: 0,
            broken: None,
        }
    }

    pub fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        let ups = world.nodes.iter().filter(|node| node.is_up).count();
        for (n, node) in world.nodes.iter().enumerate() {
            let is_dead = world.dead.contains(&node.member);
            if !is_dead && (world.left.expiries > 0 || !node.is_up) {
                steps.push(Step::Expire(n));
            }
            if !node.is_up {
                continue;
            }
            steps.extend((0..world.customer.len()).filter(|m| world.takes(n, *m)).map(|m| Step::Send(m, n)));
            if is_dead {
                steps.push(Step::Learn(n));
            }
            if world.left.crashes > 0 && ups > 1 {
                steps.push(Step::Crash(n));
            }
            if world.holding(n).is_some_and(|holding| holding.running.is_some() && !holding.is_asking) {
                steps.push(Step::Generate(n));
            }
            let has_orphan = world.index.keys().any(|member| world.dead.contains(member));
            let adopts = self.defect != Some(Defect::NobodyAdopts) && node.actor.is_none() && !is_dead;
            if has_orphan && adopts {
                steps.push(Step::Adopt(n));
            }
        }
        for (k, call) in world.flight.iter().enumerate() {
            steps.push(if call.outcome.is_some() { Step::Answer(k) } else { Step::Apply(k) });
            // A node that does not hear that it owns a session answers its messages when a client comes back, or dies.
            let can_be_lost = !matches!(call.outcome, Some(Outcome::Lost | Outcome::Owned(_)));
            if world.left.losses > 0 && can_be_lost {
                steps.push(Step::Lose(k));
            }
        }
    }

    pub fn next(&self, before: &World, step: Step) -> World {
        let mut world = before.clone();
        match step {
            Step::Send(message, n) => {
                world.left.sends[message] -= 1;
                self.begin_turn(&mut world, n, message);
            }
            Step::Apply(k) => self.apply(&mut world, k),
            Step::Answer(k) => {
                let call = world.flight.remove(k);
                self.answer(&mut world, call);
            }
            Step::Lose(k) => {
                world.left.losses -= 1;
                world.flight[k].outcome = Some(Outcome::Lost);
            }
            Step::Generate(n) => self.generate(&mut world, n),
            Step::Expire(n) => {
                world.left.expiries -= u8::from(world.nodes[n].is_up);
                let member = world.nodes[n].member.clone();
                world.dead.insert(member);
            }
            Step::Learn(n) => {
                let node = &mut world.nodes[n];
                (node.member, node.actor) = (node.member.next_life(), None);
            }
            Step::Crash(n) => {
                world.left.crashes -= 1;
                (world.nodes[n].is_up, world.nodes[n].actor) = (false, None);
            }
            Step::Adopt(n) => {
                world.nodes[n].adopts = world.index.keys().find(|member| world.dead.contains(member)).cloned();
                world.claim(n, None, Vec::new());
            }
        }
        // What nobody hears only matters until it is done.
        let World { flight, nodes, .. } = &mut world;
        flight.retain(|call| {
            let lives = nodes[call.node].actor.as_ref().is_some_and(|actor| actor.number == call.actor);
            lives || call.outcome.is_none()
        });
        world.flight.sort_by_key(Call::key);
        world
    }

    /// A message has come to node `n`.
    fn begin_turn(&self, world: &mut World, n: usize, message: Message) {
        let Some(actor) = &mut world.nodes[n].actor else { return world.claim(n, None, vec![message]) };
        let holding = match &mut actor.phase {
            Phase::Claiming(waiting) => return waiting.push(message),
            Phase::Holding(holding) => holding,
        };
        let turns = holding.running.iter().chain(&holding.queue);
        if let Some((_, answer)) = answers(&holding.state).into_iter().find(|(of, _)| *of == message) {
            world.answered(message, &answer);
        } else if turns.into_iter().all(|turn| turn.message != message) && !holding.is_accepting {
            let id = JobId::parse(format!("t{}", world.turns)).unwrap();
            let turn = Turn { id, message, place: holding.next_place, shown: Vec::new() };
            (holding.is_accepting, holding.next_place) = (true, holding.next_place + 1);
            world.turns += 1;
            // Indexed before it is accepted.
            let member = world.nodes[n].member.clone();
            world.index.insert(member, Some(turn.id.clone()));
            world.call(n, Op::Accept(turn), false);
        }
    }

    fn apply(&self, world: &mut World, k: usize) {
        let call = world.flight[k].clone();
        let (record, epoch) = (&mut world.record, call.epoch);
        let result = match &call.op {
            Op::Claim(by, instead_of) => return self.apply_claim(world, k, by, instead_of.as_ref()),
            Op::Accept(turn) => record.accept(epoch, &turn.id, open(turn)),
            Op::Show(turn, event) => record.show(epoch, &turn.id, turn.shown.len(), std::slice::from_ref(event)),
            Op::Save(turn, (write, state)) => {
                let expected = match self.defect {
                    Some(Defect::SaveIgnoresEpoch) => record.version,
                    _ => Version { epoch, write: *write },
                };
                let saved = record.save(expected, state.clone(), &turn.id);
                let is_done = record.version.write == write + 1 && record.state == *state;
                if call.is_again && is_done { Ok(()) } else { saved }
            }
            Op::Close(turn) => record.close(epoch, turn),
        };
        if result.is_ok() && call.claim != world.claims && !matches!(call.op, Op::Save(..) if call.is_again) {
            world.broken.get_or_insert(STALE);
        }
        let is_done = result.is_ok();
        let outcome = if result == Err(StoreError::Conflict) { Outcome::Conflict } else { Outcome::Done };
        world.flight[k].outcome = Some(outcome);
        if let Op::Save(Turn { id, .. }, _) | Op::Close(id) = &call.op
            && let Some(owner) = world.record.owner.clone().filter(|_| is_done && world.record.open.is_empty())
            && world.index.get(&owner).is_some_and(|last| last.as_ref().is_none_or(|last| last == id))
        {
            world.index.remove(&owner);
        }
        world.check_store();
    }

    fn apply_claim(&self, world: &mut World, k: usize, by: &Member, instead_of: Option<&Member>) {
        let outcome = match world.record.claim(by, instead_of) {
            Claim::Held(owner) => Outcome::Held(owner),
            Claim::Owned(mut record) => {
                world.claims += 1;
                if self.defect == Some(Defect::ClaimKeepsEpoch) && record.version.epoch > 1 {
                    record.version.epoch -= 1;
                    world.record.version = record.version;
                }
                world.flight[k].claim = world.claims;
                Outcome::Owned(record)
            }
        };
        world.flight[k].outcome = Some(outcome);
    }

    /// The actor that made `call`, if it lives, hears its outcome.
    fn answer(&self, world: &mut World, call: Call) {
        let n = call.node;
        match (call.outcome.clone(), call.op.clone()) {
            (Some(Outcome::Owned(record)), _) => self.owned(world, n, call.claim, &record),
            (Some(Outcome::Held(owner)), _) => self.held(world, n, owner),
            (Some(Outcome::Conflict), _) => world.nodes[n].actor = None,
            (Some(Outcome::Lost), Op::Claim(..)) => world.nodes[n].actor = None,
            (Some(Outcome::Lost), Op::Accept(turn)) => {
                world.change(n, |holding| holding.is_accepting = false);
                world.call(n, Op::Close(turn.id), false);
            }
            (Some(Outcome::Lost), op) => world.call(n, op, true),
            (_, Op::Accept(turn)) => {
                if !world.accepted.contains(&turn.message) {
                    world.accepted.push(turn.message);
                }
                world.change(n, |holding| {
                    holding.is_accepting = false;
                    holding.queue.push(turn);
                });
                world.start_next(n);
            }
            (_, Op::Show(turn, event)) => {
                world.saw(turn.message, turn.shown.len(), &event);
                world.change(n, |holding| {
                    holding.is_asking = false;
                    holding.running.iter_mut().for_each(|running| running.shown.push(event.clone()));
                });
            }
            (_, Op::Save(turn, (write, state))) => {
                world.change(n, |holding| {
                    (holding.write, holding.state) = (write + 1, state.clone());
                    (holding.running, holding.is_asking) = (None, false);
                });
                let stored = answers(&state).into_iter().find(|(of, _)| *of == turn.message);
                world.answered(turn.message, &stored.unwrap().1);
                world.start_next(n);
            }
            (_, Op::Close(_) | Op::Claim(..)) => {}
        }
    }

    fn owned(&self, world: &mut World, n: usize, claim: u32, record: &Record) {
        let state = record.state.clone();
        let mut open = opened(record);
        if self.defect == Some(Defect::ForgetsShown) {
            open.iter_mut().for_each(|turn| turn.shown.clear());
        }
        let next_place = open.last().map_or(0, |turn| turn.place + 1);
        let stored = answers(&state);
        let is_answered = |message: &Message| stored.iter().any(|(of, _)| of == message);
        if self.defect == Some(Defect::AnswersFirstCopy) {
            open.dedup_by_key(|turn| turn.message);
        }
        let (queue, surplus) = unanswered(open, |turn| Some(turn.message), is_answered);
        if !queue.is_empty() {
            let member = world.nodes[n].member.clone();
            world.index.insert(member, None);
        }
        world.adopted(n);
        let Some(actor) = &mut world.nodes[n].actor else { return };
        let Phase::Claiming(waiting) = &actor.phase else { return };
        let waiting = waiting.clone();
        actor.phase = Phase::Holding(Holding {
            epoch: record.version.epoch,
            write: record.version.write,
            claim,
            state,
            is_accepting: false,
            next_place,
            queue,
            running: None,
            is_asking: false,
        });
        surplus.into_iter().for_each(|turn| world.call(n, Op::Close(turn.id), false));
        world.start_next(n);
        waiting.into_iter().for_each(|message| self.begin_turn(world, n, message));
    }

    /// Another member owns the session: its node is asked, or, if it is dead, it is replaced.
    fn held(&self, world: &mut World, n: usize, owner: Member) {
        let Some(Actor { phase: Phase::Claiming(waiting), .. }) = world.nodes[n].actor.take() else { return };
        if world.dead.contains(&owner) {
            return world.claim(n, Some(owner), waiting);
        }
        if world.nodes[n].adopts.is_some() && self.defect != Some(Defect::ForgetsWhatOthersOwn) {
            world.index.entry(owner.clone()).or_insert(None);
        }
        world.adopted(n);
        let its = world.nodes.iter().position(|node| node.is_up && node.member == owner);
        for message in waiting {
            if let Some(its) = its.filter(|its| world.nodes[*its].actor.is_some()) {
                self.begin_turn(world, its, message);
            }
        }
    }

    fn generate(&self, world: &mut World, n: usize) {
        let whole = self.events;
        let Some(holding) = world.holding(n) else { return };
        let (epoch, write, state) = (holding.epoch, holding.write, holding.state.clone());
        let Some(turn) = holding.running.clone() else { return };
        world.change(n, |holding| holding.is_asking = true);
        if turn.shown.len() < whole {
            // No two nodes generate the same.
            let event = Bytes::from(format!("[{}{}]", epoch, n));
            if self.defect == Some(Defect::ShowsBeforeStored) {
                world.saw(turn.message, turn.shown.len(), &event);
            }
            return world.call(n, Op::Show(turn, event), false);
        }
        let answer = Bytes::from(turn.shown.concat());
        let state = with_answer(&state, turn.message, &answer);
        world.call(n, Op::Save(turn, (write, state)), false);
    }
}
