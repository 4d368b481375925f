//! The turn's state machine, case by case.

use crate::{
    Persona,
    prompt::{Grounded, Prompt},
    turn::{Effect, Input, Knowledge, MAX_RESTARTS, Patience, Policy, Spec, Turn},
};
use protocol::{
    Aside, DocumentId, ErrorCode, Event, Failure, FinishReason, InferenceJob, JobId, Lang, Passage, Priority, Reply,
    Retrieved, Sampling, Timestamp, ToolCall, ToolCallDelta, Tools, TurnEvent, Usage, WorkerId,
};

pub(super) const NOW: Timestamp = Timestamp(100);

fn turn() -> Turn {
    Turn::new(spec())
}

pub(super) fn spec() -> Spec {
    let question = "How do I reset my password?".to_string();
    let persona = Persona::default();
    let grounded =
        Grounded { persona, lang: Lang::en(), history: Vec::new(), question: question.clone(), budget: 3000 };
    Spec {
        job: JobId::parse("job_1").unwrap(),
        lang: Lang::en(),
        knowledge: Some(Knowledge { query: question, context: None, top_k: 5 }),
        prompt: Prompt::Grounded(grounded),
        sampling: Sampling { max_tokens: 20, ..Sampling::default() },
        deadline: Timestamp(10_000),
        retrieval_deadline: Timestamp(1_000),
        stall_ms: 500,
        patience: Patience::default(),
        fallback: None,
        reply: None,
        policy: Policy::default(),
        recalls: false,
        checks_markers: true,
        priority: Priority::Interactive,
        weight: 1,
        worker: None,
        run: 0,
        tools: Tools::default(),
        thinking: None,
        shows_asides: false,
    }
}

pub(super) fn reply(job: &str, attempt: u32, seq: u64, events: Vec<Event>) -> Input {
    delivered(job, attempt, 0, seq, events)
}

pub(super) fn delivered(job: &str, attempt: u32, delivery: u64, seq: u64, events: Vec<Event>) -> Input {
    Input::Reply(Reply { job: JobId::parse(job).unwrap(), attempt, delivery, seq, events })
}

pub(super) fn found() -> Event {
    let document = DocumentId::parse("faq").unwrap();
    let passage = Passage { document, chunk: 0, title: "Passwords".into(), text: "Press reset.".into(), score: 1.0 };
    Event::Retrieved(Retrieved { passages: vec![passage], ..Retrieved::default() })
}

pub(super) fn started() -> Event {
    Event::Started { worker: WorkerId::parse("w").unwrap(), model: "m".into(), prompt_tokens: 50 }
}

pub(super) fn token(text: &str) -> Event {
    Event::token(text, 2)
}

pub(super) fn finished(completion_tokens: u32) -> Event {
    Event::Finished { reason: FinishReason::Stop, usage: Usage { prompt_tokens: 50, completion_tokens } }
}

pub(super) fn inferred(effects: &[Effect]) -> Vec<(&str, &InferenceJob)> {
    let mut jobs = Vec::new();
    for effect in effects {
        if let Effect::Infer { job, body, .. } = effect {
            jobs.push((job.as_str(), body.as_ref()));
        }
    }
    jobs
}

pub(super) fn emitted(effects: &[Effect]) -> Vec<&TurnEvent> {
    effects.iter().filter_map(|effect| if let Effect::Emit(event) = effect { Some(event) } else { None }).collect()
}

pub(super) fn failed_with(effects: &[Effect]) -> Option<ErrorCode> {
    let code = |event: &&TurnEvent| if let TurnEvent::Failed(failure) = event { Some(failure.code) } else { None };
    emitted(effects).last().and_then(code)
}

/// A turn that generates: retrieval answered, the first job is out.
fn generating() -> Turn {
    generating_at(None)
}

fn generating_at(worker: Option<WorkerId>) -> Turn {
    let mut turn = turn();
    turn.spec.worker = worker;
    turn.on(Input::Accepted, NOW);
    let effects = turn.on(reply("job_1.r0", 0, 0, vec![found()]), NOW);
    assert_eq!(inferred(&effects)[0].0, "job_1.g0");
    turn
}

#[test]
fn a_whole_turn_is_retrieved_then_tokens_then_finished_after_its_commit() {
    let mut turn = turn();
    let effects = turn.on(Input::Accepted, NOW);
    assert!(matches!(&effects[..], [Effect::Retrieve { deadline: Timestamp(1_000), body, .. }] if body.top_k == 5));
    let effects = turn.on(reply("job_1.r0", 0, 0, vec![found()]), NOW);
    assert!(matches!(emitted(&effects)[..], [TurnEvent::Retrieved { citations }] if citations.len() == 1));
    assert_eq!(inferred(&effects)[0].1.prefix, "");
    let effects = turn.on(reply("job_1.g0", 0, 0, vec![started(), token("Press "), token("reset [1].")]), NOW);
    assert_eq!(emitted(&effects).len(), 2);
    let effects = turn.on(reply("job_1.g0", 0, 3, vec![finished(4)]), NOW);
    assert!(
        matches!(&effects[..], [Effect::Commit(answer)] if answer.text == "Press reset [1]." && answer.last_seq == 3)
    );
    let effects = turn.on(Input::Committed, NOW);
    let [TurnEvent::Finished { text, finish_reason, usage, citations, .. }] = emitted(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((text.as_str(), *finish_reason), ("Press reset [1].", FinishReason::Stop));
    assert_eq!(*usage, Usage { prompt_tokens: 50, completion_tokens: 4 });
    assert_eq!(citations[0].document.as_str(), "faq");
    assert!(turn.is_done());
}

#[test]
fn an_answer_that_began_anew_elsewhere_without_a_new_attempt_is_continued_by_a_new_job() {
    let mut turn = generating_at(Some(WorkerId::parse("w").unwrap()));
    turn.on(delivered("job_1.g0", 0, 8, 0, vec![started(), token("Press ")]), NOW);
    assert!(turn.on(delivered("job_1.g0", 0, 9, 2, vec![token("me")]), NOW).is_empty());
    let effects = turn.on(delivered("job_1.g0", 0, 9, 0, vec![started(), token("Press")]), NOW);
    assert_eq!((inferred(&effects)[0].0, inferred(&effects)[0].1.prefix.as_str()), ("job_1.g1", "Press "));
    let to = |effect: &Effect| matches!(effect, Effect::Infer { worker: None, .. });
    assert!(effects.iter().any(to), "any worker may go on: {effects:?}");
}

#[test]
fn a_worker_that_died_mid_answer_is_continued_by_a_new_job() {
    let mut turn = generating();
    turn.on(reply("job_1.g0", 0, 0, vec![started(), token("Press "), token("re")]), NOW);
    let effects = turn.on(reply("job_1.g0", 1, 0, vec![started(), token("Press")]), NOW);
    assert!(effects.contains(&Effect::Cancel(JobId::parse("job_1.g0").unwrap())));
    let (job, body) = inferred(&effects)[0];
    assert_eq!((job, body.prefix.as_str(), body.sampling.max_tokens), ("job_1.g1", "Press re", 16));
    assert!(emitted(&effects).is_empty());
    assert!(turn.on(reply("job_1.g0", 1, 2, vec![token(" me")]), NOW).is_empty(), "the given-up job is silent");
    let effects = turn.on(reply("job_1.g1", 0, 0, vec![started(), token("set."), finished(2)]), NOW);
    let Some(Effect::Commit(answer)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((answer.text.as_str(), answer.usage.completion_tokens), ("Press reset.", 6));
}

#[test]
fn another_attempt_before_any_text_is_simply_followed() {
    let mut turn = generating();
    turn.on(reply("job_1.g0", 0, 0, vec![started()]), NOW);
    let effects = turn.on(reply("job_1.g0", 1, 0, vec![started(), token("Hi")]), NOW);
    assert_eq!((inferred(&effects).len(), emitted(&effects).len()), (0, 1));
    assert!(turn.on(reply("job_1.g0", 0, 1, vec![token("old")]), NOW).is_empty());
}

#[test]
fn of_two_copies_of_a_job_one_is_followed() {
    let mut turn = generating();
    turn.on(delivered("job_1.g0", 0, 8, 0, vec![started()]), NOW);
    let effects = turn.on(delivered("job_1.g0", 0, 9, 0, vec![started(), token("Press ")]), NOW);
    assert_eq!((inferred(&effects).len(), emitted(&effects).len()), (0, 1), "no text yet: the later one is followed");
    for (seq, text) in [(0, "Push"), (1, "me "), (2, "or "), (7, "you")] {
        assert!(turn.on(delivered("job_1.g0", 0, 8, seq, vec![token(text)]), NOW).is_empty(), "{text}");
    }
    let effects = turn.on(delivered("job_1.g0", 0, 9, 2, vec![token("reset."), finished(4)]), NOW);
    assert!(matches!(effects.last(), Some(Effect::Commit(answer)) if answer.text == "Press reset."));
}

#[test]
fn missing_frames_and_stalls_are_taken_up_by_a_new_job() {
    let mut turn = generating();
    turn.on(reply("job_1.g0", 0, 0, vec![token("a")]), NOW);
    let effects = turn.on(reply("job_1.g0", 0, 2, vec![token("c")]), NOW);
    assert_eq!(inferred(&effects)[0].1.prefix, "a");
    turn.on(reply("job_1.g1", 0, 0, vec![token("b")]), NOW);
    assert_eq!(turn.wake_at(), Some(Timestamp(600)));
    assert!(turn.on(Input::Tick, Timestamp(599)).is_empty());
    let effects = turn.on(Input::Tick, Timestamp(600));
    assert_eq!((inferred(&effects)[0].0, inferred(&effects)[0].1.prefix.as_str()), ("job_1.g2", "ab"));
    let effects = turn.on(Input::Lost, NOW);
    assert_eq!(inferred(&effects)[0].0, "job_1.g3");
}

#[test]
fn an_answer_that_keeps_breaking_fails_once() {
    let mut turn = generating();
    for _ in 0..MAX_RESTARTS {
        assert_eq!(failed_with(&turn.on(Input::Lost, NOW)), None);
    }
    assert_eq!(failed_with(&turn.on(Input::Lost, NOW)), Some(ErrorCode::EngineFailed));
    assert!(turn.is_done());
}

#[test]
fn an_answer_that_broke_after_its_last_token_is_complete() {
    let mut turn = generating();
    turn.on(reply("job_1.g0", 0, 0, vec![Event::token("long", 20)]), NOW);
    let effects = turn.on(Input::Lost, NOW);
    assert!(matches!(effects.last(), Some(Effect::Commit(answer)) if answer.reason == FinishReason::Length));
}

#[test]
fn what_was_not_looked_up_is_not_asked_of_the_model() {
    let failed = Event::Failed(Failure::new(ErrorCode::Internal, "x"));
    let (job, failure) = (JobId::parse("job_1.r0").unwrap(), Failure::new(ErrorCode::Overloaded, "x"));
    let unpublished = Input::PublishFailed { job: job.clone(), failure: failure.clone() };
    let refused = Input::Refused { job, failure };
    let late = (Input::Tick, Timestamp(1_000));
    for (input, now) in [late, (reply("job_1.r0", 0, 0, vec![failed]), NOW), (unpublished, NOW), (refused, NOW)] {
        let mut turn = turn();
        turn.on(Input::Accepted, NOW);
        let effects = turn.on(input, now);
        assert_eq!((failed_with(&effects), inferred(&effects).len()), (Some(ErrorCode::Unavailable), 0));
        assert!(turn.on(reply("job_1.r0", 0, 0, vec![found()]), now).is_empty(), "too late");
    }
    let mut turn = turn();
    turn.on(Input::Accepted, NOW);
    let effects = turn.on(reply("job_1.r0", 0, 0, vec![Event::Retrieved(Retrieved::default())]), NOW);
    assert!(inferred(&effects)[0].1.messages.last().unwrap().content.contains("Nothing was found"));
}

#[test]
fn a_search_whose_answer_was_lost_is_repeated_until_its_deadline() {
    let mut turn = turn();
    turn.on(Input::Accepted, NOW);
    let effects = turn.on(Input::Lost, NOW);
    let cancelled = Effect::Cancel(JobId::parse("job_1.r0").unwrap());
    assert!(
        effects[0] == cancelled && matches!(&effects[1], Effect::Retrieve { job, .. } if job.as_str() == "job_1.r1")
    );
    assert!(turn.on(reply("job_1.r0", 0, 0, vec![found()]), NOW).is_empty(), "given up");
    assert_eq!(failed_with(&turn.on(Input::Lost, Timestamp(1_000))), Some(ErrorCode::Unavailable));
}

#[test]
fn what_nobody_read_or_nothing_of_is_not_stored() {
    for shown in [vec![], vec![token("Press ")]] {
        let mut abandoned = generating();
        abandoned.on(reply("job_1.g0", 0, 0, shown), NOW);
        let effects = abandoned.on(Input::Abandoned, NOW);
        assert_eq!(effects[0], Effect::Cancel(JobId::parse("job_1.g0").unwrap()));
        assert_eq!((effects.len(), failed_with(&effects)), (2, Some(ErrorCode::Unavailable)));
    }
    let mut stopped = generating();
    let effects = stopped.on(Input::Stop, NOW);
    let ended = |event: &TurnEvent| matches!(event, TurnEvent::Finished { text, .. } if text.is_empty());
    assert!(effects.len() == 2 && ended(emitted(&effects)[0]) && stopped.is_done(), "{effects:?}");
}

#[test]
fn the_deadline_fails_the_turn_exactly_once() {
    let mut turn = generating();
    assert!(turn.on(Input::Tick, Timestamp(9_999)).is_empty());
    let effects = turn.on(Input::Tick, Timestamp(10_000));
    assert_eq!(failed_with(&effects), Some(ErrorCode::DeadlineExceeded));
    assert!(matches!(effects[0], Effect::Cancel(_)));
    assert!(turn.on(Input::Tick, Timestamp(20_000)).is_empty());
    assert!(turn.on(Input::Stop, Timestamp(20_000)).is_empty());
}

#[test]
fn stopping_keeps_what_was_shown() {
    let mut turn = generating();
    turn.on(reply("job_1.g0", 0, 0, vec![token("Press ")]), NOW);
    let effects = turn.on(Input::Stop, NOW);
    assert_eq!(effects[0], Effect::Cancel(JobId::parse("job_1.g0").unwrap()));
    assert!(matches!(&effects[1], Effect::Commit(a) if a.text == "Press " && a.reason == FinishReason::Cancelled));
    assert!(turn.on(reply("job_1.g0", 0, 1, vec![token("reset")]), NOW).is_empty(), "no token after the stop");
    assert_eq!(emitted(&turn.on(Input::Committed, NOW)).len(), 1);
}

#[test]
fn failures_of_the_worker_the_broker_and_the_store_end_the_turn() {
    let failure = |code| Failure::new(code, "x");
    let mut worker = generating();
    let effects = worker.on(reply("job_1.g0", 0, 0, vec![Event::Failed(failure(ErrorCode::EngineFailed))]), NOW);
    assert_eq!(failed_with(&effects), Some(ErrorCode::EngineFailed));
    let mut broker = generating();
    let job = JobId::parse("job_1.g0").unwrap();
    let effects = broker.on(Input::PublishFailed { job, failure: failure(ErrorCode::Unavailable) }, NOW);
    assert_eq!(failed_with(&effects), Some(ErrorCode::Unavailable));
    assert!(matches!(effects[0], Effect::Cancel(_)), "it may have arrived");
    let mut store = generating();
    store.on(reply("job_1.g0", 0, 0, vec![token("a"), finished(1)]), NOW);
    assert_eq!(
        failed_with(&store.on(Input::CommitFailed(failure(ErrorCode::Conflict)), NOW)),
        Some(ErrorCode::Conflict)
    );
}

#[test]
fn a_worker_that_does_not_stop_is_cut_off() {
    let mut turn = generating();
    let effects = turn.on(reply("job_1.g0", 0, 0, vec![token(&"x".repeat(6_000))]), NOW);
    assert!(matches!(effects.last(), Some(Effect::Commit(answer)) if answer.reason == FinishReason::Length));
}

fn aside(raw: &str, reasoning: &str, calls: Vec<ToolCallDelta>) -> Event {
    Event::Aside(Aside { raw: raw.into(), reasoning: reasoning.into(), calls, tokens: 2 })
}

fn piece(id: Option<&str>, arguments: &str) -> Vec<ToolCallDelta> {
    let (id, name) = (id.map(str::to_string), id.map(|_| "weather".to_string()));
    vec![ToolCallDelta { index: 0, id, name, arguments: arguments.into() }]
}

#[test]
fn a_call_goes_on_where_it_broke_off() {
    let mut turn = Turn::new(Spec { knowledge: None, shows_asides: true, ..spec() });
    turn.on(Input::Accepted, NOW);
    let said = vec![
        started(),
        aside("<think>Hm</think>", "Hm", vec![]),
        token("Well"),
        aside("<c>{", "", piece(Some("c1"), "{")),
    ];
    let effects = turn.on(reply("job_1.g0", 0, 0, said), NOW);
    assert_eq!(emitted(&effects).len(), 3);
    let effects = turn.on(Input::Lost, NOW);
    assert_eq!(inferred(&effects)[0].1.prefix, "<think>Hm</think>Well<c>{");
    let end =
        Event::Finished { reason: FinishReason::ToolCalls, usage: Usage { prompt_tokens: 60, completion_tokens: 3 } };
    turn.on(reply("job_1.g1", 0, 0, vec![started(), aside("}</c>", "", piece(None, "}")), end]), NOW);
    let effects = turn.on(Input::Committed, NOW);
    let [TurnEvent::Finished { text, finish_reason, reasoning, tool_calls, .. }] = emitted(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((text.as_str(), reasoning.as_str(), *finish_reason), ("Well", "Hm", FinishReason::ToolCalls));
    assert_eq!(tool_calls, &[ToolCall { id: "c1".into(), name: "weather".into(), arguments: "{}".into() }]);
}

#[test]
fn a_call_whose_text_is_unknown_cannot_go_on() {
    let mut turn = Turn::new(Spec { knowledge: None, shows_asides: true, ..spec() });
    turn.on(Input::Accepted, NOW);
    turn.on(reply("job_1.g0", 0, 0, vec![started(), aside("", "", piece(Some("c1"), "{"))]), NOW);
    let effects = turn.on(Input::Lost, NOW);
    assert!(matches!(emitted(&effects)[..], [TurnEvent::Failed(failure)] if failure.code == ErrorCode::Unavailable));
}

#[test]
fn a_session_never_shows_what_the_model_thinks() {
    let mut turn = Turn::new(Spec { knowledge: None, ..spec() });
    turn.on(Input::Accepted, NOW);
    let effects =
        turn.on(reply("job_1.g0", 0, 0, vec![aside("<think>Hm", "Hm", vec![]), aside("</think>", "", vec![])]), NOW);
    assert_eq!(emitted(&effects), [] as [&TurnEvent; 0]);
    let effects = turn.on(Input::Lost, NOW);
    assert_eq!(inferred(&effects)[0].1.prefix, "<think>Hm</think>");
    turn.on(reply("job_1.g1", 0, 0, vec![token("Yes."), finished(1)]), NOW);
    let effects = turn.on(Input::Committed, NOW);
    assert!(
        matches!(emitted(&effects)[..], [TurnEvent::Finished { text, reasoning, .. }] if text == "Yes." && reasoning.is_empty())
    );
}
