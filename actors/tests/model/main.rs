//! The protocol of ownership, open messages and shown events, explored in every order that a small world allows.
//!
//! The store is [`actors::store::Record`] itself; nodes do what `actors/src/session` and `actors/src/tend.rs` do. Nodes pause
//! past their lease and wake, crash, and take over; calls to the store are on their way for any time in any order, and may be
//! lost, or their answers. What a call that was given up does when it arrives after the one that took its place is left out.

#![expect(clippy::unwrap_used, reason = "tests")]

mod promises;
mod steps;
mod world;

use promises::{ORDER, STALE, TORN, TWICE};
use stateright::{Checker, HasDiscoveries, Model, Property};
use steps::{Defect, Protocol, Step};
use world::{Budget, World, answers};

const LOST: &str = "every accepted message is answered in the end";
const MOVES: &str = "an answer goes on at another node";

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.broken.is_none() {
            self.steps(world, steps);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        Some(self.next(world, step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(STALE, |_, world: &World| world.broken != Some(STALE)),
            Property::always(TORN, |_, world: &World| world.broken != Some(TORN)),
            Property::always(TWICE, |_, world: &World| world.broken != Some(TWICE)),
            Property::always(ORDER, |_, world: &World| world.broken != Some(ORDER)),
            Property::always(LOST, |protocol: &Protocol, world: &World| {
                let mut steps = Vec::new();
                protocol.actions(world, &mut steps);
                let stored = answers(&world.record.state);
                let is_answered = |message: &usize| stored.iter().any(|(of, _)| of == message);
                world.broken.is_some() || !steps.is_empty() || world.accepted.iter().all(is_answered)
            }),
            Property::sometimes(MOVES, |_, world: &World| {
                world.customer.iter().any(|seen| seen.answer.is_some() && seen.events.windows(2).any(|e| e[0] != e[1]))
            }),
        ]
    }
}

/// Two nodes, a message for each of `sends`, which may be sent so often, and answers of so many events.
fn protocol(sends: &[u8], events: usize, budget: Budget) -> Protocol {
    Protocol { nodes: 2, events, budget: Budget { sends: sends.into(), ..budget }, defect: None }
}

fn trouble(expiries: u8, crashes: u8, losses: u8) -> Budget {
    Budget { sends: Vec::new(), expiries, crashes, losses }
}

/// Explores everything, and returns whether an answer may go on elsewhere.
fn holds(protocol: Protocol) -> bool {
    let (what, begin) = (format!("{protocol:?}"), std::time::Instant::now());
    let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (all, unique) = (checker.state_count(), checker.unique_state_count());
    eprintln!("{unique} states ({all} steps) in {:?} of {what}", begin.elapsed());
    for promise in [STALE, TORN, TWICE, ORDER, LOST] {
        checker.assert_no_discovery(promise);
    }
    checker.discovery(MOVES).is_some()
}

#[test]
fn a_pause_past_the_lease_breaks_no_promise() {
    assert!(!holds(protocol(&[2], 1, trouble(1, 0, 0))));
    assert!(holds(protocol(&[2], 2, trouble(1, 0, 0))));
    holds(protocol(&[1, 1], 1, trouble(1, 0, 0)));
}

#[test]
fn a_crash_breaks_no_promise() {
    assert!(holds(protocol(&[2], 2, trouble(0, 1, 0))));
    holds(protocol(&[1, 1], 1, trouble(0, 1, 0)));
    holds(protocol(&[1], 1, trouble(1, 1, 0)));
}

#[test]
fn a_lost_call_breaks_no_promise() {
    holds(protocol(&[2], 1, trouble(0, 1, 1)));
    holds(protocol(&[1], 2, trouble(1, 0, 1)));
}

/// Minutes: `cargo test -p actors --test model -- --ignored --nocapture`.
#[test]
#[ignore = "some millions of states"]
fn larger_worlds_break_no_promise() {
    assert!(holds(protocol(&[2], 2, trouble(1, 1, 0))));
    holds(protocol(&[1, 1], 1, trouble(1, 1, 0)));
    holds(protocol(&[2], 1, trouble(1, 0, 1)));
}

#[test]
fn the_checker_finds_what_is_wrong() {
    for (defect, promise, sends, events, trouble) in [
        (Defect::ClaimKeepsEpoch, STALE, 1, 1, trouble(1, 0, 0)),
        (Defect::SaveIgnoresEpoch, STALE, 1, 1, trouble(1, 0, 0)),
        (Defect::ShowsBeforeStored, TORN, 1, 1, trouble(0, 1, 0)),
        (Defect::ForgetsShown, TORN, 1, 1, trouble(0, 1, 0)),
        (Defect::AnswersFirstCopy, TORN, 2, 1, trouble(0, 1, 1)),
        (Defect::NobodyAdopts, LOST, 1, 1, trouble(0, 1, 0)),
        (Defect::ForgetsWhatOthersOwn, LOST, 2, 1, trouble(1, 1, 0)),
    ] {
        let broken = Protocol { defect: Some(defect), ..protocol(&[sends], events, trouble) };
        let checker = broken.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let found: Vec<&str> = checker.discoveries().into_keys().filter(|name| *name != MOVES).collect();
        eprintln!("{defect:?}: {found:?} after {} states", checker.unique_state_count());
        assert!(found.contains(&promise), "{defect:?}: {found:?}");
    }
}
