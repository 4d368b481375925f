//! What a customer sees of a turn.

use crate::support::{Step, System, collect, eventually, finished, message, tenant, text_of};
use actors::{Completion, Config, SamplingRequest};
use protocol::{ChatMessage, ErrorCode, FinishReason, InferenceJob, JobId, Lang, Priority, Role, TurnEvent};
use std::time::Duration;

fn answer(_: &InferenceJob, _: u32) -> Vec<Step> {
    vec![Step::Say("Press "), Step::Say("Reset password "), Step::Say("[1].")]
}

#[tokio::test]
async fn a_message_is_answered_from_passages_with_citations() {
    let system = System::start(Config::default(), answer).await;
    let session = system.session().await;
    let stream = system.say(&session, "How do I reset my password?").await;
    let reader = stream.clone();
    let events = collect(stream).await;
    let seqs: Vec<u64> = events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
    let (TurnEvent::Retrieved { citations: given }, TurnEvent::Finished { text, usage, citations, .. }) =
        (&events[0].1, &events[4].1)
    else {
        panic!("{events:?}")
    };
    assert_eq!((text.as_str(), text_of(&events).as_str()), ("Press Reset password [1].", text.as_str()));
    assert_eq!((&given[..1], citations[0].document.as_str()), (&citations[..], "faq-of-acme"));
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (40, 3));
    assert_eq!(reader.model().as_deref(), Some("fake-model"));
    assert_eq!(collect(reader).await, events, "another reader sees the same");

    let jobs = system.worker.jobs.lock().unwrap();
    assert_eq!(jobs[0].reply_to, "replies.node-1");
    assert!(jobs[0].body.messages[0].content.contains("Acme"));
}

#[tokio::test]
async fn a_follow_up_has_the_history_and_the_language_of_the_session() {
    let system = System::start(Config::default(), answer).await;
    let session = system.session().await;
    collect(system.say(&session, "如何重置密码?").await).await;
    collect(system.say(&session, "12345").await).await;
    let jobs = system.worker.jobs.lock().unwrap();
    let roles: Vec<Role> = jobs[1].body.messages.iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    assert_eq!(jobs[1].body.messages[1].content, "如何重置密码?");
    assert_eq!(jobs[1].body.messages[2].content, "Press Reset password [1].");
    assert!(jobs[1].body.messages[0].content.contains("简体中文"));
    assert_eq!(system.worker.queries.lock().unwrap()[1].lang, Lang::zh());
}

#[tokio::test]
async fn messages_of_a_session_are_answered_one_by_one_in_order() {
    let system = System::start(Config::default(), answer).await;
    let session = system.session().await;
    let mut streams = Vec::new();
    for n in 0..4 {
        streams.push(system.say(&session, &format!("question {n}")).await);
    }
    for stream in streams {
        finished(&collect(stream).await);
    }
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    let asked: Vec<&str> = view.messages.iter().step_by(2).map(|m| m.content.as_str()).collect();
    assert_eq!(asked, ["question 0", "question 1", "question 2", "question 3"]);
}

#[tokio::test]
async fn a_repeated_message_gets_the_first_answer_and_costs_nothing() {
    let system = System::start(Config::default(), answer).await;
    let session = system.session().await;
    let acme = tenant();
    let submit = || system.registry.submit(&acme, &session, message("How?", Some("m1")));
    let (first, second) = (submit().await.unwrap(), submit().await.unwrap());
    assert_eq!(first.job(), second.job());
    let (events, job) = (collect(first).await, second.job().clone());
    assert_eq!(collect(second).await, events);

    let third = submit().await.unwrap();
    assert_eq!(*third.job(), job);
    let mut resumed = third.clone();
    let replayed = collect(third).await;
    assert_eq!(replayed, events);
    resumed.skip_to(3);
    assert_eq!(collect(resumed).await, events[3..], "what was read before does not come again");
    let other = system.registry.submit(&acme, &session, message("Why?", Some("m1"))).await.unwrap_err();
    assert_eq!((other.code, other.param.as_deref()), (ErrorCode::InvalidRequest, Some("client_message_id")));
    assert_eq!(system.worker.jobs.lock().unwrap().len(), 1);
    assert_eq!(system.registry.view(&tenant(), &session).await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn stopping_keeps_what_was_said_and_frees_the_worker() {
    let system = System::start(Config::default(), |_, _| vec![Step::Say("Well"), Step::AwaitCancel]).await;
    let session = system.session().await;
    let mut stream = system.say(&session, "Tell me all").await;
    while !matches!(stream.next().await, Some((_, TurnEvent::Token { .. }))) {}
    system.registry.stop(&tenant(), &session, None).await.unwrap();
    assert_eq!(finished(&collect(stream).await), ("Well".into(), FinishReason::Cancelled));
    eventually("the job is cancelled", || system.worker.cancelled.lock().unwrap().len() == 1).await;
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    assert_eq!(view.messages[1].content, "Well");
    system.registry.stop(&tenant(), &session, None).await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_the_turn_that_it_names_and_no_other() {
    let system = System::start(Config::default(), |_, _| vec![Step::Say("Well"), Step::AwaitCancel]).await;
    let (session, acme) = (system.session().await, tenant());
    let (registry, of) = (&system.registry, (&acme, &session));
    let stop = |job: JobId| async move { registry.stop(of.0, of.1, Some(&job)).await.unwrap() };
    let (mut running, waiting) = (system.say(&session, "one").await, system.say(&session, "two").await);
    let last = system.say(&session, "three").await;
    while !matches!(running.next().await, Some((_, TurnEvent::Token { .. }))) {}
    stop(JobId::parse("job_of_before").unwrap()).await;
    stop(waiting.job().clone()).await;
    assert_eq!(finished(&collect(waiting).await), (String::new(), FinishReason::Cancelled));
    assert!(system.worker.cancelled.lock().unwrap().is_empty(), "the first one runs on");
    for stream in [running, last] {
        stop(stream.job().clone()).await;
        finished(&collect(stream).await);
    }
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    assert!(view.messages.iter().all(|m| m.content != "two"));
}

#[tokio::test]
async fn a_waiting_turn_that_nobody_reads_leaves_the_queue() {
    let config = Config { abandon_grace_ms: 50, pending_messages: 1, ..Config::default() };
    let system = System::start(config, |_, _| vec![Step::Say("Well"), Step::AwaitCancel]).await;
    let session = system.session().await;
    let mut running = system.say(&session, "one").await;
    drop(system.say(&session, "two").await);
    let acme = tenant();
    let mut accepted = Err(ErrorCode::Overloaded);
    for _ in 0..100 {
        accepted = system.registry.submit(&acme, &session, message("three", None)).await.map_err(|f| f.code);
        if accepted.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let accepted = accepted.unwrap();
    while !matches!(running.next().await, Some((_, TurnEvent::Token { .. }))) {}
    for stream in [running, accepted] {
        system.registry.stop(&acme, &session, Some(stream.job())).await.unwrap();
        finished(&collect(stream).await);
    }
    let asked = |text| {
        system
            .worker
            .jobs
            .lock()
            .unwrap()
            .iter()
            .any(|job| job.body.messages.iter().any(|m| m.content.starts_with(text)))
    };
    assert!(!asked("two"));
}

#[tokio::test]
async fn a_turn_that_nobody_reads_pauses_after_the_grace_and_goes_on_for_who_comes_back() {
    let config = Config { abandon_grace_ms: 300, ..Config::default() };
    let system = System::start(config, |job, _| match job.prefix.as_str() {
        "" => vec![Step::Say("Well"), Step::AwaitCancel],
        _ => vec![Step::Say(", yes.")],
    })
    .await;
    let session = system.session().await;
    let acme = tenant();
    let submit = || system.registry.submit(&acme, &session, message("Tell me all", Some("m1")));
    drop(submit().await.unwrap());
    let mut back_in_time = submit().await.unwrap();
    while !matches!(back_in_time.next().await, Some((_, TurnEvent::Token { .. }))) {}
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(system.worker.cancelled.lock().unwrap().len(), 0, "somebody reads");
    let first = back_in_time.job().clone();
    drop(back_in_time);
    eventually("the job is cancelled", || system.worker.cancelled.lock().unwrap().len() == 1).await;
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    assert_eq!((view.messages.len(), view.unanswered.len()), (0, 1), "a torn answer is none, the question is not lost");
    let again = submit().await.unwrap();
    assert_eq!(*again.job(), first);
    let events = collect(again).await;
    assert_eq!((finished(&events).0.as_str(), text_of(&events).as_str()), ("Well, yes.", "Well, yes."));
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    assert_eq!((view.messages.len(), view.unanswered.len()), (2, 0));
}

#[tokio::test]
async fn a_message_that_was_left_is_answered_before_the_next_one() {
    let config = Config { abandon_grace_ms: 50, ..Config::default() };
    let system = System::start(config, |job, _| match job.prefix.as_str() {
        "" if job.messages.len() == 2 => vec![Step::Say("Well"), Step::AwaitCancel],
        _ => vec![Step::Say(" yes.")],
    })
    .await;
    let session = system.session().await;
    drop(system.say(&session, "one").await);
    eventually("the job is cancelled", || system.worker.cancelled.lock().unwrap().len() == 1).await;
    finished(&collect(system.say(&session, "two").await).await);
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    let said: Vec<&str> = view.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(said, ["one", "Well yes.", "two", " yes."]);
}

#[tokio::test]
async fn a_turn_that_nobody_reads_goes_on_while_somebody_awaits_the_next_one() {
    let config = Config { abandon_grace_ms: 50, ..Config::default() };
    let system = System::start(config, |job, _| match job.messages.len() {
        2 => vec![Step::Say("1"), Step::Pause(400), Step::Say("!")],
        _ => vec![Step::Say("2")],
    })
    .await;
    let session = system.session().await;
    drop(system.say(&session, "one").await);
    finished(&collect(system.say(&session, "two").await).await);
    assert!(system.worker.cancelled.lock().unwrap().is_empty());
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    let said: Vec<&str> = view.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(said, ["one", "1!", "two", "2"]);
}

#[tokio::test]
async fn a_turn_that_fails_while_nobody_reads_it_is_answered_to_who_comes_back() {
    let config = Config { turn_deadline_ms: 300, ..Config::default() };
    let system = System::start(config, |job, _| match job.prefix.as_str() {
        "" => vec![Step::Say("Well"), Step::AwaitCancel],
        _ => vec![Step::Say(", yes.")],
    })
    .await;
    let (session, acme) = (system.session().await, tenant());
    let submit = || system.registry.submit(&acme, &session, message("Tell me all", Some("m1")));
    let mut stream = submit().await.unwrap();
    while !matches!(stream.next().await, Some((_, TurnEvent::Token { .. }))) {}
    drop(stream);
    eventually("it fails", || system.worker.cancelled.lock().unwrap().len() == 1).await;
    assert_eq!(system.registry.view(&acme, &session).await.unwrap().unanswered.len(), 1);
    let events = collect(submit().await.unwrap()).await;
    assert_eq!((finished(&events).0.as_str(), text_of(&events).as_str()), ("Well, yes.", "Well, yes."));
}

#[tokio::test]
async fn a_message_may_take_the_place_of_those_before_it() {
    let system = System::start(Config::default(), |job, _| match job.messages.last() {
        Some(last) if last.content.contains("three") => vec![Step::Say("3")],
        _ => vec![Step::Say("Well"), Step::AwaitCancel],
    })
    .await;
    let session = system.session().await;
    let mut running = system.say(&session, "one").await;
    while !matches!(running.next().await, Some((_, TurnEvent::Token { .. }))) {}
    let waiting = system.say(&session, "two").await;
    let replacing = protocol::Submit { replace: true, ..message("three", None) };
    let stream = system.registry.submit(&tenant(), &session, replacing).await.unwrap();
    assert_eq!(finished(&collect(running).await), ("Well".into(), FinishReason::Cancelled));
    assert_eq!(finished(&collect(waiting).await), (String::new(), FinishReason::Cancelled));
    assert_eq!(finished(&collect(stream).await).0, "3");
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    assert_eq!(view.messages.len(), 4);
}

#[tokio::test]
async fn a_worker_that_dies_mid_answer_costs_the_customer_nothing_but_time() {
    let system = System::start(Config::default(), |job, attempt| match (job.prefix.as_str(), attempt) {
        ("", 0) => vec![Step::Say("Press "), Step::Say("Re"), Step::Die],
        ("", _) => vec![Step::Say("Push"), Step::AwaitCancel],
        (_, _) => vec![Step::Say("set [1].")],
    })
    .await;
    let session = system.session().await;
    let events = collect(system.say(&session, "How?").await).await;
    assert_eq!(finished(&events), ("Press Reset [1].".into(), FinishReason::Stop));
    assert_eq!(text_of(&events), "Press Reset [1].");
    let jobs = system.worker.jobs.lock().unwrap();
    let last = &jobs[2].body;
    assert_eq!((last.prefix.as_str(), last.sampling.max_tokens), ("Press Re", Config::default().answer_tokens - 2));
    assert_eq!(*system.worker.cancelled.lock().unwrap(), [jobs[0].job.clone()]);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_taken_up() {
    let config = Config { stall_ms: 50, ..Config::default() };
    let system = System::start(config, |job, _| match job.prefix.as_str() {
        "" => vec![Step::Say("Press "), Step::Vanish],
        _ => vec![Step::Say("reset.")],
    })
    .await;
    let session = system.session().await;
    assert_eq!(finished(&collect(system.say(&session, "How?").await).await).0, "Press reset.");
}

#[tokio::test]
async fn a_stateless_call_is_answered_and_its_reader_s_leaving_cancels_it() {
    let system = System::start(Config::default(), |job, _| match job.messages.len() {
        1 => vec![Step::Say("4")],
        _ => vec![Step::Say("Well"), Step::AwaitCancel],
    })
    .await;
    let sampling =
        SamplingRequest { max_tokens: Some(7), seed: Some(5), logprobs: Some(2), ..SamplingRequest::default() };
    let bare = Completion {
        messages: vec![ChatMessage::new(Role::User, "2+2?")],
        knowledge: false,
        sampling,
        priority: Priority::Batch,
        ..Completion::default()
    };
    let events = collect(system.registry.complete(&tenant(), bare.clone()).await.unwrap()).await;
    assert_eq!(finished(&events).0, "4");
    let job = system.worker.jobs.lock().unwrap()[0].clone();
    assert_eq!(job.body.messages, bare.messages);
    assert_eq!((job.body.sampling.max_tokens, job.body.sampling.seed), (7, 5));
    assert_eq!((job.body.sampling.logprobs, job.body.priority), (Some(2), Priority::Batch));
    assert_eq!(system.worker.queries.lock().unwrap().len(), 0);

    let grounded = Completion { knowledge: true, ..bare };
    let mut stream = system.registry.complete(&tenant(), grounded).await.unwrap();
    while !matches!(stream.next().await, Some((_, TurnEvent::Token { .. }))) {}
    assert_eq!(system.worker.queries.lock().unwrap()[0].query, "2+2?");
    drop(stream);
    eventually("the job is cancelled", || system.worker.cancelled.lock().unwrap().len() == 1).await;
}
