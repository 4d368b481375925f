//! Turns that look into the answer cache.

use super::{
    cases::{NOW, emitted, found, inferred, reply, spec},
    decided::certain,
};
use crate::{
    cache::Found,
    turn::{Answer, Effect, Fallback, Given, Input, Policy, Spec, Turn},
};
use protocol::{Citation, DocumentId, KnowledgeVersion, Origin, RetrievalJob, TurnEvent, Usage};

fn turn() -> Turn {
    Turn::new(Spec { recalls: true, ..spec() })
}

fn kept() -> Given {
    let document = DocumentId::parse("faq").unwrap();
    let passage = "Press reset.".to_string();
    let citation = Citation { number: 2, document, title: "Passwords".into(), passage, score: 1.0 };
    Given { text: "Press it [2].".into(), citations: vec![citation], origin: Origin::Cache, degraded: false }
}

/// A turn that has searched, and what it wants to do.
fn searched(mut turn: Turn) -> (Turn, Vec<Effect>) {
    turn.on(Input::Accepted, NOW);
    turn.on(Input::Recalled(None), NOW);
    let effects = turn.on(reply("job_1.r0", 0, 0, vec![found()]), NOW);
    (turn, effects)
}

fn is_given(turn: &mut Turn, effects: &[Effect]) {
    let [Effect::Commit(answer)] = effects else { panic!("{effects:?}") };
    let Answer { text, usage, citations, origin, degraded, .. } = answer;
    let Given { text: kept_text, citations: kept_citations, .. } = kept();
    assert_eq!((text, usage, citations), (&kept_text, &Usage::default(), &kept_citations));
    assert_eq!((*origin, *degraded), (Origin::Cache, false));
    let told = turn.on(Input::Committed, NOW);
    let announced = TurnEvent::Retrieved { citations: kept_citations };
    assert_eq!(emitted(&told), [&announced, &TurnEvent::token(kept_text), &answer.event()]);
}

#[test]
fn the_very_same_question_is_answered_before_the_search() {
    let mut turn = turn();
    assert_eq!(turn.on(Input::Accepted, NOW), [Effect::Recall(None)]);
    let effects = turn.on(Input::Recalled(Some(kept())), NOW);
    is_given(&mut turn, &effects);
}

#[test]
fn after_the_search_the_cache_is_asked_before_the_model() {
    let mut first = turn();
    first.on(Input::Accepted, NOW);
    let effects = first.on(Input::Recalled(None), NOW);
    assert!(matches!(&effects[..], [Effect::Retrieve { body: RetrievalJob { wants_vector: true, .. }, .. }]));
    let (mut turn, effects) = searched(turn());
    let (version, documents) = (KnowledgeVersion(0), vec![DocumentId::parse("faq").unwrap()]);
    assert_eq!(effects.last(), Some(&Effect::Recall(Some(Found { version, vector: None, documents }))));
    assert_eq!((emitted(&effects).len(), inferred(&effects).len()), (0, 0));
    let effects = turn.on(Input::Recalled(Some(kept())), NOW);
    is_given(&mut turn, &effects);
    let (mut turn, _) = searched(self::turn());
    let effects = turn.on(Input::Recalled(None), NOW);
    assert_eq!((emitted(&effects).len(), inferred(&effects).len()), (1, 1));
    assert_eq!(turn.on(Input::Recalled(Some(kept())), NOW), [], "it is too late");
}

#[test]
fn a_curated_answer_needs_no_cache() {
    let policy = Policy { faq_confidence: Some(0.9), ..Policy::default() };
    let mut turn = Turn::new(Spec { recalls: true, policy, ..spec() });
    turn.on(Input::Accepted, NOW);
    turn.on(Input::Recalled(None), NOW);
    let effects = turn.on(reply("job_1.r0", 0, 0, vec![certain()]), NOW);
    assert!(matches!(effects.last(), Some(Effect::Commit(Answer { origin: Origin::Faq, .. }))), "{effects:?}");
}

#[test]
fn who_waits_for_anothers_answer_has_one_by_the_deadline() {
    let fallback = Some(Fallback { faq_confidence: 0.8, apology: "Sorry." });
    let (mut turn, _) = searched(Turn::new(Spec { recalls: true, fallback, ..spec() }));
    let deadline = spec().deadline;
    assert_eq!(turn.wake_at(), Some(deadline));
    let effects = turn.on(Input::Tick, deadline);
    assert!(matches!(&effects[..], [Effect::Commit(Answer { degraded: true, .. })]), "{effects:?}");
}

#[test]
fn who_waits_may_be_stopped() {
    let (mut turn, _) = searched(turn());
    let effects = turn.on(Input::Stop, NOW);
    assert_eq!((emitted(&effects).len(), turn.is_done()), (2, true));
}
