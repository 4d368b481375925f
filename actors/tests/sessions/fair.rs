//! Jobs that wait for their tenant's turn.

use crate::support::{CURATED, Step, System, collect, eventually, finished, message, tenant};
use actors::{Completion, Config};
use protocol::{ChatMessage, ErrorCode, FinishReason, Role, Submit, TurnEvent};
use std::time::Duration;

const PASSWORD: &str = "How do I reset my password?";

/// One job may await its start, and one of a tenant may wait for that; those with the word "hang" never start.
async fn narrow() -> System {
    let config = Config { publish_window: 1, tenant_waiting: 1, affinity_ms: 0, ..Config::default() };
    System::start(config, |job, _| match job.messages.last() {
        Some(last) if last.content.contains("hang") => vec![Step::AwaitCancel],
        _ => vec![Step::Say("Yes.")],
    })
    .await
}

impl System {
    fn published(&self) -> usize {
        self.worker.jobs.lock().unwrap().len()
    }

    async fn searched(&self, count: usize) {
        eventually("it has searched", || self.worker.queries.lock().unwrap().len() == count).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test]
async fn a_job_waits_until_one_before_it_starts_or_is_stopped() {
    let system = narrow().await;
    let [first, second, third] = [system.session().await, system.session().await, system.session().await];
    let hanging = system.say(&first, "hang").await;
    eventually("it is published", || system.published() == 1).await;
    let waiting = system.say(&second, "hang on").await;
    system.searched(2).await;
    let refused = collect(system.say(&third, PASSWORD).await).await;
    assert!(
        matches!(&refused.last().unwrap().1, TurnEvent::Finished { text, degraded: true, .. } if text == CURATED),
        "a third one has no place in the line: {refused:?}"
    );
    system.registry.stop(&tenant(), &second, None).await.unwrap();
    assert_eq!(finished(&collect(waiting).await).1, FinishReason::Cancelled);
    assert_eq!((system.published(), system.worker.cancelled.lock().unwrap().len()), (1, 0), "nobody heard of it");

    let next = system.say(&third, "And now?").await;
    system.searched(4).await;
    assert_eq!(system.published(), 1);
    system.registry.stop(&tenant(), &first, None).await.unwrap();
    assert_eq!(finished(&collect(next).await).0, "Yes.");
    finished(&collect(hanging).await);
    for _ in 0..20 {
        assert_eq!(finished(&collect(system.say(&third, "And now?").await).await).0, "Yes.");
    }
}

#[tokio::test]
async fn a_turn_that_ends_while_its_job_waits_gives_its_place_up() {
    let system = narrow().await;
    let [first, second] = [system.session().await, system.session().await];
    let hanging = system.say(&first, "hang").await;
    eventually("it is published", || system.published() == 1).await;
    let late = Submit { deadline_ms: Some(150), ..message(PASSWORD, None) };
    let stream = system.registry.submit(&tenant(), &second, late.clone()).await.unwrap();
    assert_eq!(finished(&collect(stream).await).0, CURATED, "the deadline passed while it waited");
    system.registry.delete(&tenant(), &first).await.unwrap();
    collect(hanging).await;
    assert_eq!(finished(&collect(system.say(&second, "And now?").await).await).0, "Yes.");
    assert_eq!(system.published(), 2);
}

#[tokio::test]
async fn what_cannot_be_begun_by_its_deadline_is_refused_at_the_door() {
    let system = narrow().await;
    let [first, second, third] = [system.session().await, system.session().await, system.session().await];
    let _hanging = system.say(&first, "hang").await;
    eventually("it is published", || system.published() == 1).await;
    let waiting = system.say(&second, "And now?").await;
    system.searched(2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let hasty = Submit { deadline_ms: Some(100), ..message(PASSWORD, None) };
    let refused = system.registry.submit(&tenant(), &third, hasty.clone()).await.unwrap_err();
    assert!(refused.code == ErrorCode::Overloaded && refused.message.contains("the deadline is 100 ms"), "{refused}");
    let messages = vec![ChatMessage::new(Role::User, PASSWORD)];
    let call = Completion { messages, deadline_ms: Some(100), ..Completion::default() };
    let refused = system.registry.complete(&tenant(), call).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Overloaded);
    let patient = Submit { deadline_ms: Some(60_000), ..hasty };
    let stream = system.registry.submit(&tenant(), &third, patient).await.unwrap();
    system.registry.stop(&tenant(), &first, None).await.unwrap();
    for stream in [waiting, stream] {
        finished(&collect(stream).await);
    }
}
