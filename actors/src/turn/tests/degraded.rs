//! Turns whose model or retrieval is out of reach.

use super::cases::{NOW, emitted, failed_with, finished, found, inferred, reply, spec, started, token};
use crate::{
    breaker::{Part, Verdict},
    turn::{Effect, Fallback, Input, MAX_RESTARTS, Patience, Spec, Turn},
};
use protocol::{
    Citation, DocumentId, ErrorCode, Event, Failure, FaqMatch, FinishReason, JobId, Passage, Retrieved, Timestamp,
    TurnEvent,
};

const APOLOGY: &str = "Sorry, not now.";
const PATIENCE: Patience = Patience { queue_wait_ms: 200, first_token_ms: 300, give_up_ms: 500 };

fn turn() -> Turn {
    let fallback = Some(Fallback { faq_confidence: 0.8, apology: APOLOGY });
    let mut turn = Turn::new(Spec { patience: PATIENCE, fallback, stall_ms: 5_000, ..spec() });
    turn.on(Input::Accepted, NOW);
    turn
}

/// A turn that was given the passage of [`found`] and a curated answer with this score, and asks the model.
fn generating(confidence: f32) -> Turn {
    let mut turn = turn();
    let Event::Retrieved(Retrieved { passages, .. }) = found() else { unreachable!() };
    let effects = turn.on(reply("job_1.r0", 0, 0, vec![curated(confidence, passages)]), NOW);
    assert_eq!((inferred(&effects).len(), judged(&effects)), (1, vec![(Part::Retrieval, Verdict::Good)]));
    turn
}

fn curated(confidence: f32, passages: Vec<Passage>) -> Event {
    let (document, question) = (DocumentId::parse("faq").unwrap(), "Forgot my password".to_string());
    let answer = "Press Forgot.".to_string();
    Event::Retrieved(Retrieved {
        passages,
        faq: Some(FaqMatch { document, chunk: 7, question, answer, score: 0.5, confidence }),
        ..Retrieved::default()
    })
}

fn judged(effects: &[Effect]) -> Vec<(Part, Verdict)> {
    let judge =
        |effect: &Effect| if let Effect::Judge(part, verdict) = effect { Some((*part, *verdict)) } else { None };
    effects.iter().filter_map(judge).collect()
}

fn job(name: &str) -> JobId {
    JobId::parse(name).unwrap()
}

fn refused(name: &str) -> Input {
    Input::Refused { job: job(name), failure: Failure::new(ErrorCode::Overloaded, "x") }
}

/// The degraded answer that `effects` and then the commit show: the events but the last, the text and the citations.
fn answered(turn: &mut Turn, effects: &[Effect]) -> (Vec<TurnEvent>, String, Vec<Citation>) {
    let mut shown: Vec<TurnEvent> = emitted(effects).into_iter().cloned().collect();
    let Some(Effect::Commit(answer)) = effects.last() else { panic!("{effects:?}") };
    assert!(answer.degraded && answer.reason == FinishReason::Stop, "{answer:?}");
    let told = turn.on(Input::Committed, NOW);
    let [untold @ .., TurnEvent::Finished { text, citations, degraded: true, .. }] = &emitted(&told)[..] else {
        panic!("{told:?}")
    };
    shown.extend(untold.iter().copied().cloned());
    assert_eq!(answer.last_seq as usize, shown.len() + usize::from(shown.len() == 1));
    assert_eq!((text, citations), (&answer.text, &answer.citations));
    assert!(turn.is_done());
    (shown, text.clone(), citations.clone())
}

#[test]
fn a_refused_job_is_replaced_by_the_curated_answer_if_that_fits() {
    let mut turn = generating(0.81);
    let effects = turn.on(refused("job_1.g0"), NOW);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Cancel(_))), "nothing was published");
    let (shown, text, citations) = answered(&mut turn, &effects);
    assert_eq!((shown, text.as_str()), (vec![TurnEvent::token("Press Forgot.")], "Press Forgot."));
    let [Citation { number: 1, title, passage, .. }] = &citations[..] else { panic!("{citations:?}") };
    assert_eq!((title.as_str(), passage.as_str()), ("Forgot my password", "Press Forgot."), "as it was announced");

    let mut turn = generating(0.79);
    let effects = turn.on(refused("job_1.g0"), NOW);
    let (_, text, citations) = answered(&mut turn, &effects);
    assert_eq!((text.as_str(), citations), (APOLOGY, vec![]));
}

#[test]
fn a_curated_answer_that_was_announced_keeps_its_number() {
    let mut turn = turn();
    let document = DocumentId::parse("faq").unwrap();
    let passage = |chunk, title: &str, text: &str| Passage {
        document: document.clone(),
        chunk,
        title: title.into(),
        text: text.into(),
        score: 1.0,
    };
    let passages = vec![passage(7, "Forgot my password", "Press Forgot."), passage(1, "x", "y")];
    turn.on(reply("job_1.r0", 0, 0, vec![curated(0.85, passages)]), NOW);
    let effects = turn.on(refused("job_1.g0"), NOW);
    assert_eq!(answered(&mut turn, &effects).2[0].number, 1);
}

#[test]
fn without_retrieval_the_customer_is_told_plainly() {
    let failed = Event::Failed(Failure::new(ErrorCode::Unavailable, "x"));
    let unpublished = Input::PublishFailed { job: job("job_1.r0"), failure: Failure::new(ErrorCode::Overloaded, "x") };
    for (input, now, counts) in [
        (refused("job_1.r0"), NOW, false),
        (unpublished, NOW, true),
        (reply("job_1.r0", 0, 0, vec![failed]), NOW, true),
        (Input::Tick, Timestamp(1_000), true),
    ] {
        let mut turn = turn();
        let effects = turn.on(input, now);
        let expected = if counts { vec![(Part::Retrieval, Verdict::Failed)] } else { vec![] };
        assert_eq!((judged(&effects), inferred(&effects).len()), (expected, 0), "the model is not asked");
        let (shown, text, _) = answered(&mut turn, &effects);
        let retrieved = TurnEvent::Retrieved { citations: vec![] };
        assert_eq!((shown, text.as_str()), (vec![retrieved, TurnEvent::token(APOLOGY)], APOLOGY));
    }
}

#[test]
fn a_slow_engine_is_told_of_once_and_then_given_up() {
    let mut turn = generating(0.9);
    assert_eq!(turn.wake_at(), Some(Timestamp(300)));
    assert_eq!(turn.on(Input::Tick, Timestamp(299)), []);
    let late = [Effect::Judge(Part::Inference, Verdict::QueueWait)];
    assert_eq!(turn.on(Input::Tick, Timestamp(300)), late);
    assert_eq!(turn.on(Input::Tick, Timestamp(400)), [], "one verdict is enough");
    assert_eq!(turn.wake_at(), Some(Timestamp(600)));
    let effects = turn.on(Input::Tick, Timestamp(600));
    assert_eq!(effects[0], Effect::Cancel(job("job_1.g0")), "the worker is freed");
    assert_eq!(answered(&mut turn, &effects).1, "Press Forgot.");
}

#[test]
fn what_is_begun_in_time_may_still_be_slow_to_speak() {
    let mut turn = generating(0.9);
    assert_eq!(judged(&turn.on(reply("job_1.g0", 0, 0, vec![started()]), Timestamp(150))), []);
    assert_eq!(turn.wake_at(), Some(Timestamp(400)), "the queue is behind it");
    let effects = turn.on(reply("job_1.g0", 0, 1, vec![token("Well")]), Timestamp(450));
    assert_eq!(judged(&effects), [(Part::Inference, Verdict::FirstToken)]);
    assert_eq!(turn.on(Input::Tick, Timestamp(700)), [], "who has begun to speak is not given up");
    let mut quick = generating(0.9);
    let effects = quick.on(reply("job_1.g0", 0, 0, vec![started(), token("Well"), token(".")]), Timestamp(310));
    assert_eq!(judged(&effects), [(Part::Inference, Verdict::QueueWait)]);
    let mut quick = generating(0.9);
    let effects = quick.on(reply("job_1.g0", 0, 0, vec![started(), token("Well"), finished(1)]), Timestamp(150));
    assert_eq!(judged(&effects), [(Part::Inference, Verdict::Good)]);
}

#[test]
fn an_engine_that_fails_before_its_first_word_is_replaced_and_after_it_is_not() {
    let failed = |code| vec![Event::Failed(Failure::new(code, "x"))];
    let mut turn = generating(0.9);
    let effects = turn.on(reply("job_1.g0", 0, 0, failed(ErrorCode::EngineFailed)), NOW);
    assert_eq!(judged(&effects), [(Part::Inference, Verdict::Failed)]);
    assert_eq!(answered(&mut turn, &effects).1, "Press Forgot.");

    let mut turn = generating(0.9);
    let effects = turn.on(reply("job_1.g0", 0, 0, failed(ErrorCode::ContextLengthExceeded)), NOW);
    assert_eq!((judged(&effects), failed_with(&effects)), (vec![], Some(ErrorCode::ContextLengthExceeded)));

    let mut turn = generating(0.9);
    turn.on(reply("job_1.g0", 0, 0, vec![started(), token("Press ")]), NOW);
    let effects = turn.on(reply("job_1.g0", 0, 2, failed(ErrorCode::EngineFailed)), NOW);
    assert_eq!(failed_with(&effects), Some(ErrorCode::EngineFailed), "half an answer is none");
}

#[test]
fn one_that_keeps_breaking_off_or_comes_too_late_is_replaced() {
    let mut turn = generating(0.9);
    let last = (0..=MAX_RESTARTS).map(|_| turn.on(Input::Lost, NOW)).last().unwrap();
    assert_eq!(judged(&last), [(Part::Inference, Verdict::Failed)]);
    assert_eq!(answered(&mut turn, &last).1, "Press Forgot.");

    let patience = Patience::default();
    let fallback = Some(Fallback { faq_confidence: 0.8, apology: APOLOGY });
    let mut turn = Turn::new(Spec { patience, fallback, ..spec() });
    let effects = turn.on(Input::Accepted, Timestamp(10_000));
    assert_eq!(answered(&mut turn, &effects).1, APOLOGY, "it waited behind others until its deadline");
    let mut turn = Turn::new(Spec { patience, fallback, ..spec() });
    turn.on(Input::Accepted, NOW);
    turn.on(reply("job_1.r0", 0, 0, vec![found()]), NOW);
    assert_eq!(turn.wake_at(), Some(Timestamp(10_000)), "without limits it waits until its deadline");
    let effects = turn.on(Input::Tick, Timestamp(10_000));
    assert_eq!((judged(&effects), answered(&mut turn, &effects).1.as_str()), (vec![], APOLOGY));
}

#[test]
fn an_apology_that_is_not_stored_is_not_told_and_who_takes_over_asks_the_model() {
    let mut turn = generating(0.1);
    let effects = turn.on(refused("job_1.g0"), NOW);
    assert_eq!(emitted(&effects), [] as [&TurnEvent; 0]);
    let effects = turn.on(Input::CommitFailed(Failure::new(ErrorCode::Conflict, "x")), NOW);
    assert_eq!((emitted(&effects).len(), failed_with(&effects)), (1, Some(ErrorCode::Conflict)));
}

#[test]
fn who_goes_on_after_some_words_may_take_its_time() {
    let fallback = Some(Fallback { faq_confidence: 0.8, apology: APOLOGY });
    let spec = Spec { patience: PATIENCE, fallback, ..spec() };
    let shown = [TurnEvent::Retrieved { citations: vec![] }, TurnEvent::token("Press ")];
    let mut turn = Turn::resumed(spec.clone(), &shown, 2);
    assert_eq!(inferred(&turn.on(Input::Accepted, NOW))[0].1.prefix, "Press ");
    assert_eq!(turn.wake_at(), Some(Timestamp(10_000)));
    let mut turn = Turn::resumed(spec, &shown[..1], 0);
    turn.on(Input::Accepted, NOW);
    assert_eq!(turn.wake_at(), Some(Timestamp(300)), "nothing was said yet");
}

#[test]
fn without_a_fallback_the_client_is_told_of_the_failure() {
    let mut turn = Turn::new(Spec { patience: PATIENCE, knowledge: None, ..spec() });
    turn.on(Input::Accepted, NOW);
    assert_eq!(judged(&turn.on(Input::Tick, Timestamp(600))), [(Part::Inference, Verdict::FirstToken)]);
    assert_eq!(turn.wake_at(), Some(Timestamp(10_000)), "it may wait");
    assert_eq!(failed_with(&turn.on(refused("job_1.g0"), NOW)), Some(ErrorCode::Overloaded));
}
