//! What is refused, and that it is refused early.

use crate::support::{Step, System, collect, finished, message, tenant};
use actors::{Completion, Config, SamplingRequest};
use protocol::{ChatMessage, ErrorCode, InferenceJob, Priority, Role};

fn answer(_: &InferenceJob, _: u32) -> Vec<Step> {
    vec![Step::Say("Yes.")]
}

#[tokio::test]
async fn messages_that_wait_are_bounded() {
    let config = Config { pending_messages: 2, ..Config::default() };
    let system = System::start(config, |_, _| vec![Step::AwaitCancel]).await;
    let session = system.session().await;
    let mut accepted = Vec::new();
    for n in 0..3 {
        accepted.push(system.say(&session, &n.to_string()).await);
    }
    let refused = system.registry.submit(&tenant(), &session, message("3", None)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Overloaded);
    assert!(refused.message.contains("2 messages"), "{}", refused.message);
    for stream in accepted {
        system.registry.stop(&tenant(), &session, None).await.unwrap();
        finished(&collect(stream).await);
    }
}

#[tokio::test]
async fn a_full_node_lets_idle_sessions_leave_and_else_refuses() {
    let config = Config { max_sessions: 3, ..Config::default() };
    let system = System::start(config, |job, _| match job.messages.last() {
        Some(last) if last.content.contains("endless") => vec![Step::AwaitCancel],
        _ => vec![Step::Say("Yes.")],
    })
    .await;
    for _ in 0..10 {
        let session = system.session().await;
        finished(&collect(system.say(&session, "hi").await).await);
    }
    let mut busy = Vec::new();
    for _ in 0..3 {
        let session = system.session().await;
        busy.push((system.say(&session, "endless").await, session));
    }
    let session = system.session().await;
    let refused = system.registry.submit(&tenant(), &session, message("hi", None)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Overloaded);
    let (stream, freed) = busy.pop().unwrap();
    system.registry.stop(&tenant(), &freed, None).await.unwrap();
    collect(stream).await;
    finished(&collect(system.say(&session, "hi").await).await);
}

#[tokio::test]
async fn bad_messages_are_refused_with_their_field() {
    let system = System::start(Config { message_bytes: 100_000, ..Config::default() }, answer).await;
    let session = system.session().await;
    for (text, code) in [
        ("", ErrorCode::InvalidRequest),
        (" \n\t", ErrorCode::InvalidRequest),
        (&*"x".repeat(100_001), ErrorCode::PayloadTooLarge),
        (&*"字".repeat(5_000), ErrorCode::ContextLengthExceeded),
    ] {
        let refused = system.registry.submit(&tenant(), &session, message(text, None)).await.unwrap_err();
        assert_eq!((refused.code, refused.param.as_deref()), (code, Some("content")), "{} bytes", text.len());
    }
    let acme = tenant();
    let call = |messages, max_tokens| {
        let sampling = SamplingRequest { max_tokens, ..SamplingRequest::default() };
        let priority = Priority::Interactive;
        let asked = Completion { messages, knowledge: true, sampling, priority, ..Completion::default() };
        system.registry.complete(&acme, asked)
    };
    let user = vec![ChatMessage::new(Role::User, "hi")];
    for (asked, told) in [(0, "at least 1"), (4097, "at most 4096"), (u32::MAX, "at most 4096")] {
        let refused = call(user.clone(), Some(asked)).await.unwrap_err();
        assert_eq!(refused.param.as_deref(), Some("max_tokens"));
        assert!(refused.message.contains(told), "{refused}");
    }
    finished(&collect(call(user, Some(4096)).await.unwrap()).await);
    for messages in [vec![], vec![ChatMessage::new(Role::Assistant, "hi")]] {
        assert_eq!(call(messages, None).await.unwrap_err().param.as_deref(), Some("messages"));
    }
}

#[tokio::test]
async fn an_old_history_is_cut_to_its_bound() {
    let system = System::start(Config { history_messages: 4, ..Config::default() }, answer).await;
    let session = system.session().await;
    for n in 0..4 {
        collect(system.say(&session, &n.to_string()).await).await;
    }
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    let kept: Vec<&str> = view.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(kept, ["2", "Yes.", "3", "Yes."]);
}
