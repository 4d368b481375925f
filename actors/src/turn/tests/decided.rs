//! Turns that are answered without the model since retrieval tells enough.

use super::cases::{NOW, emitted, failed_with, found, inferred, reply, spec};
use crate::turn::{Abstention, Answer, Effect, Given, Input, Policy, Spec, Turn};
use protocol::{Citation, DocumentId, ErrorCode, Event, Failure, FaqMatch, Origin, Retrieved, TurnEvent, Usage};

const UNKNOWN: &str = "I do not know.";

fn policy() -> Policy {
    let abstention = Some(Abstention { below: 0.5, text: UNKNOWN.into() });
    Policy { faq_confidence: Some(0.9), told: None, abstention }
}

/// Retrieval's answer with a curated one that is this likely, and passages that are.
fn retrieved(faq: f32, confidence: Option<f32>) -> Event {
    let Event::Retrieved(Retrieved { passages, .. }) = found() else { unreachable!() };
    let (document, question) = (DocumentId::parse("faq").unwrap(), "Forgot my password".to_string());
    let answer = "Press Forgot.".to_string();
    let faq = Some(FaqMatch { document, chunk: 7, question, answer, score: 0.4, confidence: faq });
    Event::Retrieved(Retrieved { passages, faq, confidence, ..Retrieved::default() })
}

/// A curated answer that is given at once where any is.
pub(super) fn certain() -> Event {
    retrieved(0.95, Some(0.2))
}

fn found_by(policy: Policy, event: Event) -> (Turn, Vec<Effect>) {
    let mut turn = Turn::new(Spec { policy, ..spec() });
    turn.on(Input::Accepted, NOW);
    let effects = turn.on(reply("job_1.r0", 0, 0, vec![event]), NOW);
    (turn, effects)
}

/// The answer that is stored at once and then told, all of it.
fn given(turn: &mut Turn, effects: &[Effect]) -> Answer {
    assert_eq!((emitted(effects).len(), inferred(effects).len()), (0, 0), "not told before it is stored");
    let Some(Effect::Commit(answer)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((answer.usage, answer.degraded, answer.last_seq), (Usage::default(), false, 2));
    let told = turn.on(Input::Committed, NOW);
    let announced = TurnEvent::Retrieved { citations: answer.citations.clone() };
    assert_eq!(emitted(&told), [&announced, &TurnEvent::token(&answer.text), &answer.event()]);
    assert!(turn.is_done());
    answer.clone()
}

#[test]
fn a_curated_answer_that_fits_is_given_at_once() {
    let (mut turn, effects) = found_by(policy(), retrieved(0.9, Some(0.1)));
    let answer = given(&mut turn, &effects);
    assert_eq!((answer.text.as_str(), answer.origin), ("Press Forgot.", Origin::Faq));
    let [Citation { number: 1, title, passage, .. }] = &answer.citations[..] else { panic!("{answer:?}") };
    assert_eq!((title.as_str(), passage.as_str()), ("Forgot my password", "Press Forgot."));
}

#[test]
fn one_that_fits_less_is_shown_to_the_model() {
    let never = Policy { faq_confidence: None, ..policy() };
    let told = Policy { told: Some("Press Forgot.".into()), ..policy() };
    for (policy, likely) in [(policy(), 0.89), (never, 0.99), (told, 0.99)] {
        let (_, effects) = found_by(policy, retrieved(likely, Some(0.9)));
        let asked = &inferred(&effects)[0].1.messages.last().unwrap().content;
        assert!(asked.contains("[1] Forgot my password\nPress Forgot.") && asked.contains("[2] Passwords"), "{asked}");
    }
    let (_, effects) = found_by(policy(), retrieved(0.3, Some(0.9)));
    assert!(!inferred(&effects)[0].1.messages.last().unwrap().content.contains("Forgot my password"));
}

#[test]
fn what_the_knowledge_does_not_answer_is_not_made_up() {
    let (mut turn, effects) = found_by(policy(), retrieved(0.3, Some(0.49)));
    let answer = given(&mut turn, &effects);
    assert_eq!((answer.text.as_str(), answer.origin, answer.citations), (UNKNOWN, Origin::Abstained, vec![]));
    let asks = Policy { abstention: None, ..policy() };
    for (policy, event) in [
        (policy(), retrieved(0.3, Some(0.5))),
        (policy(), retrieved(0.6, Some(0.1))),
        (policy(), retrieved(0.3, None)),
        (asks, retrieved(0.3, Some(0.1))),
    ] {
        assert_eq!(inferred(&found_by(policy, event).1).len(), 1);
    }
}

#[test]
fn a_courtesy_needs_no_knowledge() {
    let hello = Given { text: "Hello!".into(), citations: vec![], origin: Origin::Courtesy, degraded: false };
    let mut turn = Turn::new(Spec { reply: Some(hello), ..spec() });
    let effects = turn.on(Input::Accepted, NOW);
    assert_eq!(effects.len(), 1, "nothing is looked up: {effects:?}");
    assert_eq!(given(&mut turn, &effects).origin, Origin::Courtesy);
}

#[test]
fn what_is_not_stored_is_not_told() {
    let (mut turn, effects) = found_by(policy(), certain());
    assert_eq!(emitted(&effects), [] as [&TurnEvent; 0]);
    let effects = turn.on(Input::CommitFailed(Failure::new(ErrorCode::Conflict, "x")), NOW);
    assert_eq!((emitted(&effects).len(), failed_with(&effects)), (1, Some(ErrorCode::Conflict)));
}
