//! Intake over the embedded broker.

use crate::desk::{Desk, echo, past};
use protocol::{ErrorCode, Event, FinishReason, InferenceJob, Usage};
use runtime::{broker::Reason, clock::ManualClock};
use std::{sync::Arc, time::Duration};
use worker_gpu::{Admitted, Config, Engine, EngineError, Output, Request, RunError, SequenceId, Stats};

#[tokio::test]
async fn a_job_is_answered_in_order_and_settled() {
    let mut desk = Desk::new().await;
    let worker = desk.work(echo(5));
    desk.submit("job_1", "where is my parcel").await;
    let answer = desk.answer().await;
    answer.assert_in_order();
    assert_eq!(answer.text(), "echo: where is my parcel");
    let events = answer.events();
    assert!(matches!(events[0], Event::Started { prompt_tokens: 4, model, .. } if model == "echo"));
    let usage = Usage { prompt_tokens: 4, completion_tokens: 5 };
    let reason = FinishReason::Stop;
    assert_eq!(answer.last(), &Event::Finished { reason, usage });
    let shown: u32 = events.iter().map(|event| if let Event::Token { tokens, .. } = event { *tokens } else { 0 }).sum();
    assert_eq!(shown, 5);
    worker.stop().await.unwrap();
    assert_eq!(desk.jobs_left().await, 0);
}

#[tokio::test]
async fn the_first_token_goes_out_at_once_and_later_ones_are_gathered() {
    let mut desk = Desk::new().await;
    let config = Config { coalesce_ms: 200, ..echo(10) };
    let _worker = desk.work(config);
    desk.submit("job_1", &"word ".repeat(20)).await;
    let answer = desk.answer().await;
    let batches_with_text =
        answer.0.iter().filter(|reply| reply.events.iter().any(|event| matches!(event, Event::Token { .. })));
    let (first, others): (Vec<_>, Vec<_>) = batches_with_text.enumerate().partition(|(at, _)| *at == 0);
    assert!(matches!(first[0].1.events.last(), Some(Event::Token { tokens: 1, .. })));
    assert!((1..=4).contains(&others.len()), "{} batches", others.len());
}

#[tokio::test]
async fn a_prefix_is_continued_and_stop_strings_and_max_tokens_end_the_answer() {
    let mut desk = Desk::new().await;
    let _worker = desk.work(echo(0));
    let with = |change: fn(&mut InferenceJob)| {
        let mut envelope = desk.envelope("job_1", "one two three four");
        change(&mut envelope.body);
        envelope
    };
    let continued = with(|job| job.prefix = "echo: one ".into());
    let stopped = with(|job| job.sampling.stop = vec!["o th".into()]);
    let cut = with(|job| job.sampling.max_tokens = 2);
    for (envelope, text, end) in [
        (continued, "two three four", FinishReason::Stop),
        (stopped, "echo: one tw", FinishReason::Stop),
        (cut, "echo: one ", FinishReason::Length),
    ] {
        desk.publish(&envelope).await;
        let answer = desk.answer().await;
        assert_eq!(answer.text(), text);
        assert!(matches!(answer.last(), Event::Finished { reason, .. } if *reason == end));
    }
}

#[tokio::test]
async fn more_jobs_than_slots_are_all_answered_once() {
    let mut desk = Desk::new().await;
    let worker = desk.work(echo(0));
    for n in 0..40 {
        desk.submit(&format!("job_{n}"), "hello there").await;
    }
    let mut finished = std::collections::BTreeSet::new();
    while finished.len() < 40 {
        let reply = desk.reply().await;
        if matches!(reply.events.last(), Some(Event::Finished { .. })) {
            assert!(finished.insert(reply.job));
        }
    }
    worker.stop().await.unwrap();
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 0));
}

#[tokio::test]
async fn a_cancelled_job_ends_and_frees_its_slot() {
    let mut desk = Desk::new().await;
    let config = Config { max_sequences: 1, batch_tokens: 8, ..echo(10) };
    let worker = desk.work(config);
    desk.submit("job_1", &"word ".repeat(2_000)).await;
    desk.reply().await;
    desk.cancel("job_1").await;
    let answer = desk.answer().await;
    let reason = FinishReason::Cancelled;
    assert!(matches!(answer.last(), Event::Finished { reason: why, .. } if *why == reason));
    desk.submit("job_2", "next").await;
    assert_eq!(desk.answer().await.text(), "echo: next");
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_cancelled_before_it_came_is_not_begun() {
    let mut desk = Desk::new().await;
    let _worker = desk.work(echo(0));
    desk.submit("job_0", "to be sure that the worker listens").await;
    desk.answer().await;
    desk.cancel("job_1").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    desk.submit("job_1", "never mind").await;
    let answer = desk.answer().await;
    assert_eq!(answer.events().len(), 1);
    let (reason, usage) = (FinishReason::Cancelled, Usage::default());
    assert_eq!(answer.last(), &Event::Finished { reason, usage });
}

#[tokio::test]
async fn an_expired_job_is_refused_and_a_late_answer_breaks_off() {
    let clock = ManualClock::at(1_000_000);
    let mut desk = Desk::at(Arc::new(clock.clone())).await;
    let _worker = desk.work(echo(10));
    let mut expired = desk.envelope("job_1", "too late");
    expired.deadline = past();
    desk.publish(&expired).await;
    let failed = |event: &Event| matches!(event, Event::Failed(failure) if failure.code == ErrorCode::DeadlineExceeded);
    assert!(failed(desk.answer().await.last()));
    desk.submit("job_2", &"word ".repeat(2_000)).await;
    desk.reply().await;
    clock.advance(120_000);
    assert!(failed(desk.answer().await.last()));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_becomes_a_dead_letter() {
    let mut desk = Desk::new().await;
    let worker = desk.work(echo(0));
    desk.publish_bytes("{\"v\":1".into()).await;
    let mut newer = desk.envelope("job_1", "hello");
    newer.v = 99;
    desk.publish(&newer).await;
    let told = |event: &Event| matches!(event, Event::Failed(failure) if failure.code == ErrorCode::Unavailable);
    assert!(told(desk.answer().await.last()), "who waits does not wait in vain");
    desk.submit("job_2", "still here").await;
    assert_eq!(desk.answer().await.text(), "echo: still here");
    worker.stop().await.unwrap();
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 2));
    let mut letters = desk.broker().dead_letters().await.unwrap();
    let [torn, newer] = [letters.next().await.unwrap().unwrap(), letters.next().await.unwrap().unwrap()];
    assert_eq!((torn.reason, newer.reason), (Reason::Refused, Reason::Refused));
    assert_eq!(newer.why, "version 99, this build reads 1");
    assert!(torn.why.starts_with("unreadable: Eof at column "), "{}", torn.why);
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_by_name() {
    let mut desk = Desk::new().await;
    let _worker = desk.work(echo(0));
    let mut wrong = desk.envelope("job_1", "hello");
    wrong.body.sampling.top_p = 7.0;
    desk.publish(&wrong).await;
    let answer = desk.answer().await;
    assert!(matches!(answer.last(), Event::Failed(failure) if failure.param.as_deref() == Some("top_p")));
}

#[tokio::test]
async fn a_vanished_reader_frees_the_slot() {
    let mut desk = Desk::new().await;
    let config = Config { max_sequences: 1, batch_tokens: 8, ..echo(10) };
    let worker = desk.work(config);
    desk.submit("job_1", &"word ".repeat(2_000)).await;
    desk.reply().await;
    desk.leave();
    tokio::time::sleep(Duration::from_millis(300)).await;
    worker.stop().await.unwrap();
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 0));
}

#[tokio::test]
async fn a_stopping_worker_finishes_what_it_can_and_hands_back_the_rest() {
    let mut desk = Desk::new().await;
    let patient = desk.work(echo(5));
    desk.submit("job_1", "a short question").await;
    desk.reply().await;
    patient.stop.cancel();
    assert!(matches!(desk.answer().await.last(), Event::Finished { .. }));
    patient.stop().await.unwrap();

    let hasty = desk.work(Config { drain_ms: 50, ..echo(20) });
    desk.submit("job_2", &"word ".repeat(2_000)).await;
    desk.reply().await;
    hasty.stop().await.unwrap();
    assert_eq!(desk.jobs_left().await, 1);

    let _next = desk.work(echo(0));
    let mut reply = desk.reply().await;
    while reply.attempt == 0 {
        reply = desk.reply().await;
    }
    assert_eq!((reply.attempt, reply.seq), (1, 0));
}

/// Generates one token, then fails.
struct Failing {
    ids: Vec<SequenceId>,
    panics: bool,
}

impl Engine for Failing {
    fn model(&self) -> &str {
        "failing"
    }
    fn capacity(&self) -> usize {
        2
    }
    fn context_tokens(&self) -> usize {
        64
    }
    fn add(&mut self, request: Request) -> Result<Admitted, protocol::Failure> {
        assert_ne!(request.messages[0].content, "poison");
        self.ids.push(request.id);
        Ok(Admitted { prompt_tokens: 1 })
    }
    fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        assert!(!self.panics, "as told");
        Err(EngineError("out of memory".into()))
    }
    fn cancel(&mut self, id: SequenceId) {
        self.ids.retain(|one| *one != id);
    }
    fn stats(&self) -> Stats {
        Stats { running: self.ids.len(), ..Stats::default() }
    }
}

#[tokio::test]
async fn a_failing_engine_ends_the_worker_and_its_jobs_go_back() {
    for panics in [false, true] {
        let mut desk = Desk::new().await;
        let worker = desk.work_with(Config::default(), vec![Box::new(Failing { ids: vec![], panics })]);
        desk.submit("job_1", "hello").await;
        let ended = tokio::time::timeout(Duration::from_secs(10), worker.running).await.unwrap().unwrap();
        assert!(matches!(ended, Err(RunError::Engine(_))), "{ended:?}");
        assert_eq!(desk.jobs_left().await, 1);
        let _healthy = desk.work(echo(0));
        assert_eq!(desk.answer().await.text(), "echo: hello");
    }
}

#[tokio::test]
async fn a_job_that_meets_a_failing_engine_each_time_is_answered() {
    let mut desk = Desk::new().await;
    desk.submit("job_1", "hello").await;
    for _ in 0..8 {
        let worker = desk.work_with(Config::default(), vec![Box::new(Failing { ids: vec![], panics: false })]);
        let _ = tokio::time::timeout(Duration::from_secs(10), worker.running).await.unwrap();
        if desk.dead_letters().await == 1 {
            break;
        }
    }
    assert!(matches!(desk.answer().await.last(), Event::Failed(failure) if failure.code == ErrorCode::EngineFailed));
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 1));
}

#[tokio::test]
async fn a_prompt_whose_preparation_panics_fails_alone() {
    let mut desk = Desk::new().await;
    let worker = desk.work_with(Config::default(), vec![Box::new(Failing { ids: vec![], panics: true })]);
    desk.submit("job_1", "poison").await;
    assert!(matches!(desk.answer().await.last(), Event::Failed(failure) if failure.code == ErrorCode::EngineFailed));
    worker.stop().await.unwrap();
    assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 0));
}
