//! Every order of a few things that may happen to a turn, up to a length: what the head of [`crate::turn`] promises holds in
//! each, and a turn that is left alone ends by its deadline.

use super::{
    cases::{NOW, delivered, found, reply, spec, started, token},
    decided::certain,
};
use crate::turn::{Abstention, Effect, Fallback, Given, Input, Patience, Policy, Spec, Turn};
use protocol::{ErrorCode, Event, Failure, FinishReason, JobId, Origin, Retrieved, Timestamp, TurnEvent, Usage};

fn failure() -> Failure {
    Failure::new(ErrorCode::EngineFailed, "x")
}

fn job(name: &str) -> JobId {
    JobId::parse(name).unwrap()
}

/// What may happen, and how much later.
fn alphabet() -> Vec<(Input, u64)> {
    let usage = Usage { prompt_tokens: 50, completion_tokens: 2 };
    let whole = Event::Finished { reason: FinishReason::Stop, usage };
    vec![
        (reply("job_1.r0", 0, 0, vec![found()]), 0),
        (reply("job_1.r0", 0, 0, vec![certain()]), 0),
        (
            reply(
                "job_1.r0",
                0,
                0,
                vec![Event::Retrieved(Retrieved { confidence: Some(0.1), ..Retrieved::default() })],
            ),
            0,
        ),
        (reply("job_1.g0", 0, 0, vec![started(), token("a [9")]), 0),
        (reply("job_1.g0", 0, 2, vec![token("] b [1")]), 0),
        (reply("job_1.g0", 1, 0, vec![token("c"), whole.clone()]), 0),
        (delivered("job_1.g0", 0, 7, 0, vec![token("d")]), 0),
        (reply("job_1.g1", 0, 0, vec![token("e"), whole]), 0),
        (reply("job_1.g0", 0, 0, vec![Event::Failed(failure())]), 0),
        (Input::Lost, 0),
        (Input::Tick, 400),
        (Input::PublishFailed { job: job("job_1.g0"), failure: failure() }, 0),
        (Input::Refused { job: job("job_1.r0"), failure: failure() }, 0),
        (Input::Stop, 0),
        (Input::Committed, 0),
        (Input::CommitFailed(failure()), 0),
    ]
}

/// What a customer and the session have seen of a turn.
#[derive(Clone, Default)]
struct Seen {
    text: String,
    is_over: bool,
    /// The answer that is being stored, and whether it is told only then, not being the model's.
    commit: Option<(String, bool)>,
}

impl Seen {
    fn effects(&mut self, effects: &[Effect], trail: &[usize]) {
        for effect in effects {
            match effect {
                Effect::Commit(answer) => {
                    let is_given = answer.degraded || !answer.origin.is_model();
                    assert!(self.commit.replace((answer.text.clone(), is_given)).is_none(), "stored twice: {trail:?}");
                    let told = if is_given { "" } else { &answer.text };
                    assert_eq!(told, self.text, "{trail:?}");
                }
                Effect::Emit(event) => self.event(event, trail),
                Effect::Recall(_) | Effect::Retrieve { .. } | Effect::Infer { .. } => {
                    assert!(self.commit.is_none() && !self.is_over, "work for nobody: {trail:?}");
                }
                _ => {}
            }
        }
    }

    fn event(&mut self, event: &TurnEvent, trail: &[usize]) {
        assert!(!self.is_over, "something after the end: {trail:?}");
        match event {
            TurnEvent::Token { text, .. } => {
                let is_whole = self.commit.as_ref().is_some_and(|(_, is_given)| !is_given);
                assert!(!is_whole, "text after the answer was whole: {trail:?}");
                self.text.push_str(text);
            }
            TurnEvent::Finished { text, .. } => {
                assert_eq!(*text, self.text, "{trail:?}");
                let stored = self.commit.as_ref().map_or("", |(text, _)| text);
                assert_eq!(text, stored, "shown before it was stored: {trail:?}");
            }
            _ => {}
        }
        self.is_over = event.is_last();
    }
}

/// A turn after `trail`, with what was seen of it; the machine is run anew, since it cannot be copied.
fn after(spec: &Spec, inputs: &[(Input, u64)], trail: &[usize]) -> (Turn, Seen, Timestamp) {
    let (mut turn, mut seen, mut now) = (Turn::new(spec.clone()), Seen::default(), NOW);
    seen.effects(&turn.on(Input::Accepted, now), trail);
    for &at in trail {
        let (input, later) = inputs[at].clone();
        now = now.after_ms(later);
        let effects = turn.on(input, now);
        seen.effects(&effects, trail);
        assert_eq!(turn.is_done(), seen.is_over, "{trail:?}");
    }
    (turn, seen, now)
}

/// Tries every order, and returns how many.
fn explore(spec: &Spec, inputs: &[(Input, u64)], trail: &mut Vec<usize>, length: usize) -> u64 {
    let (mut turn, mut seen, now) = after(spec, inputs, trail);
    if seen.is_over {
        // Nothing follows the end.
        for (input, later) in inputs {
            assert_eq!(turn.on(input.clone(), now.after_ms(*later)), [], "{trail:?}");
        }
        return 1;
    }
    let is_storing = seen.commit.is_some();
    assert!(is_storing || turn.wake_at().is_some_and(|at| at <= spec.deadline), "it may wait for ever: {trail:?}");
    if trail.len() == length {
        ends(&mut turn, &mut seen, spec, trail);
        return 1;
    }
    let mut orders = 1;
    for at in 0..inputs.len() {
        trail.push(at);
        orders += explore(spec, inputs, trail, length);
        trail.pop();
    }
    orders
}

/// Left alone, it ends by its deadline.
fn ends(turn: &mut Turn, seen: &mut Seen, spec: &Spec, trail: &[usize]) {
    if seen.commit.is_none() {
        seen.effects(&turn.on(Input::Tick, spec.deadline), trail);
    }
    if !seen.is_over {
        seen.effects(&turn.on(Input::Committed, spec.deadline), trail);
    }
    assert!(seen.is_over && turn.is_done(), "no end: {trail:?}");
}

fn explore_all(length: usize) -> u64 {
    let (inputs, begin) = (alphabet(), std::time::Instant::now());
    let fallback = Fallback { faq_confidence: 0.8, apology: "Sorry." };
    let patience = Patience { queue_wait_ms: 150, first_token_ms: 300, give_up_ms: 700 };
    let policy = Policy {
        faq_confidence: Some(0.9),
        told: None,
        abstention: Some(Abstention { below: 0.5, text: "I do not know.".into() }),
    };
    let courtesy = Given { text: "Hi!".into(), citations: vec![], origin: Origin::Courtesy, degraded: false };
    let specs = [
        spec(),
        Spec { fallback: Some(fallback), patience, policy, ..spec() },
        Spec { reply: Some(courtesy), ..spec() },
        Spec { knowledge: None, ..spec() },
    ];
    let orders = specs.iter().map(|spec| explore(spec, &inputs, &mut Vec::new(), length)).sum();
    eprintln!("{orders} orders of at most {length} inputs in {:?}", begin.elapsed());
    orders
}

#[test]
fn every_order_around_a_look_into_the_cache_keeps_the_promises() {
    let kept = Given { text: "As before.".into(), citations: vec![], origin: Origin::Cache, degraded: false };
    let chosen = alphabet().into_iter().enumerate().filter(|(at, _)| [0, 3, 5, 9, 10, 13, 14, 15].contains(at));
    let mut inputs: Vec<(Input, u64)> = chosen.map(|(_, input)| input).collect();
    inputs.extend([(Input::Recalled(None), 0), (Input::Recalled(Some(kept)), 0)]);
    let spec = Spec { recalls: true, ..spec() };
    assert!(explore(&spec, &inputs, &mut Vec::new(), 5) > 10_000);
}

#[test]
fn every_order_of_a_few_things_keeps_the_promises() {
    assert!(explore_all(4) > 20_000);
}

/// Minutes: `cargo test -p actors --lib every_longer_order -- --ignored --nocapture`.
#[test]
#[ignore = "some millions of orders"]
fn every_longer_order_keeps_the_promises() {
    assert!(explore_all(6) > 1_000_000);
}
