//! What a customer gets without the model: curated answers, and the word that this is not known.

use crate::support::{CURATED, Step, System, collect, finished, message, tenant, text_of};
use actors::{Completion, Config};
use protocol::{ChatMessage, FinishReason, Format, Origin, Role, SessionId, TurnEvent, Usage};
use std::sync::atomic::Ordering;

async fn system() -> System {
    System::start(Config::default(), |_, _| vec![Step::Say("Which one do you have? [1]")]).await
}

impl System {
    /// The answer to `text` and where it is from.
    async fn answer(&self, session: &SessionId, text: &str) -> (String, Origin) {
        let events = collect(self.say(session, text).await).await;
        let Some((_, TurnEvent::Finished { text, origin, .. })) = events.last() else { panic!("{events:?}") };
        assert_eq!(text_of(&events), *text);
        (text.clone(), *origin)
    }
}

#[tokio::test]
async fn a_curated_answer_comes_without_the_model_and_is_kept_like_any_other() {
    let system = system().await;
    let session = system.session().await;
    let acme = tenant();
    let submit = || system.registry.submit(&acme, &session, message("I forgot my password", Some("m1")));
    let first = collect(submit().await.unwrap()).await;
    let [(0, retrieved), (1, token), (2, last)] = &first[..] else { panic!("{first:?}") };
    let TurnEvent::Finished { text, citations, finish_reason, usage, origin, degraded, .. } = last else {
        panic!("{last:?}")
    };
    assert_eq!((text.as_str(), *origin, *degraded), (CURATED, Origin::Faq, false));
    assert_eq!((*finish_reason, *usage, citations.len()), (FinishReason::Stop, Usage::default(), 1));
    assert_eq!(
        (retrieved, token),
        (&TurnEvent::Retrieved { citations: citations.clone() }, &TurnEvent::token(CURATED))
    );
    assert_eq!(collect(submit().await.unwrap()).await, first, "a repeat reads the same");
    let view = system.registry.view(&acme, &session).await.unwrap();
    assert_eq!((view.messages[1].turn.as_ref().unwrap().origin, view.messages.len()), (Origin::Faq, 2));
    assert_eq!(system.worker.jobs.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_not_known_is_said_to_be_so_unless_the_message_replies_to_a_question() {
    let system = system().await;
    let session = system.session().await;
    assert_eq!(system.answer(&session, "How do I pair the lamp?").await.1, Origin::Model);
    system.worker.is_unsure.store(true, Ordering::SeqCst);
    assert_eq!(system.answer(&session, "the white one").await.1, Origin::Model, "it was asked for");
    let (text, origin) = system.answer(&session, "你们在火星上有门店吗?").await;
    assert!(origin == Origin::Abstained && text.contains("没有这方面的信息") && text.contains("人工客服"), "{text}");
    assert_eq!(system.answer(&session, "the white one").await.1, Origin::Abstained, "nothing was asked");
    let queries = system.worker.queries.lock().unwrap().clone();
    let contexts: Vec<_> = queries.iter().map(|query| query.context.as_deref()).collect();
    assert_eq!(contexts[..3], [None, Some("How do I pair the lamp?"), Some("the white one")]);
    system.worker.is_unsure.store(false, Ordering::SeqCst);
    system.answer(&session, "And the lamp?").await;
    let jobs = system.worker.jobs.lock().unwrap();
    let said: Vec<&str> = jobs.last().unwrap().body.messages.iter().map(|m| m.content.as_str()).collect();
    assert!(!said.iter().any(|text| text.contains("没有这方面的信息")), "the model would repeat it: {said:?}");
}

#[tokio::test]
async fn a_client_that_wants_another_format_asks_the_model() {
    let system = system().await;
    system.worker.is_unsure.store(true, Ordering::SeqCst);
    let messages = vec![ChatMessage::new(Role::User, "I forgot it"), ChatMessage::new(Role::User, "You forgot it?")];
    let mut asked = Completion { messages, knowledge: true, ..Completion::default() };
    let acme = tenant();
    let call = async |asked: &Completion| collect(system.registry.complete(&acme, asked.clone()).await.unwrap()).await;
    assert_eq!(finished(&call(&asked).await).0, CURATED);
    asked.sampling.format = Format::JsonObject;
    assert_eq!(finished(&call(&asked).await).0, "Which one do you have? [1]");
}

#[tokio::test]
async fn courtesies_are_answered_in_kind_and_nobody_promises_a_person() {
    let system = system().await;
    let session = system.session().await;
    let (text, origin) = system.answer(&session, "Bonjour !").await;
    assert!(origin == Origin::Courtesy && text.starts_with("Bonjour") && text.contains("Acme"), "{text}");
    assert_eq!(system.answer(&session, "谢谢！").await.1, Origin::Courtesy);
    assert_eq!(system.worker.queries.lock().unwrap().len(), 0);
    system.worker.is_unsure.store(true, Ordering::SeqCst);
    assert_eq!(system.answer(&session, "你好，你们在火星上有门店吗？").await.1, Origin::Abstained);
    let (text, _) = system.answer(&session, "好的").await;
    assert!(text.contains("无法在这个对话中为您转接"), "{text}");
    assert_eq!(system.worker.jobs.lock().unwrap().len(), 0);
    assert_eq!(system.worker.queries.lock().unwrap().len(), 2);
}
