//! Answers that the model gave before: who gets them, who does not, and what a thousand equal questions cost.

use crate::support::{FakeWorker, Step, System, collect, context, eventually, memory_store, message, node, tenant};
use actors::{Completion, Config, Profiles, Registry, TurnStream, start_with};
use protocol::{
    ChatMessage, InferenceJob, KnowledgeNews, KnowledgeVersion, Lang, NodeId, Origin, Role, Submit, TenantId,
    TurnEvent, Usage, topology,
};
use runtime::{Broker, broker};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

const RESET: &str = "How do I reset my password?";

fn says(_: &InferenceJob, _: u32) -> Vec<Step> {
    vec![Step::Say("Press it "), Step::Say("[1].")]
}

/// A node's lookups must not be given up because the machine is busy.
fn config() -> Config {
    Config { answer_cache_patience_ms: 5_000, ..Config::default() }
}

async fn system() -> System {
    let system = System::start(config(), says).await;
    system.worker.version.store(1, Ordering::SeqCst);
    system
}

/// The end of a turn: the answer and where it is from.
async fn end(stream: TurnStream) -> (String, Origin) {
    let events = collect(stream).await;
    match &events.last().unwrap().1 {
        TurnEvent::Finished { text, origin, .. } => (text.clone(), *origin),
        other => panic!("{other:?}"),
    }
}

async fn ask_as(registry: &Registry, tenant: &TenantId, submit: Submit) -> (String, Origin) {
    let session = registry.create(tenant).await.unwrap().id;
    end(registry.submit(tenant, &session, submit).await.unwrap()).await
}

impl System {
    /// A new customer asks.
    async fn ask(&self, text: &str) -> Origin {
        ask_as(&self.registry, &tenant(), message(text, None)).await.1
    }

    fn generations(&self) -> usize {
        self.worker.jobs.lock().unwrap().len()
    }

    /// The tenant is served from another version, and the node hears of it.
    async fn publish(&self, version: u64) {
        self.worker.version.store(version, Ordering::SeqCst);
        let news = KnowledgeNews { tenant: tenant(), version: KnowledgeVersion(version) };
        self.broker.broadcast(topology::KNOWLEDGE, serde_json::to_vec(&news).unwrap().into()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_equal_question_gets_the_same_answer_without_the_model() {
    let system = system().await;
    assert_eq!(system.ask(RESET).await, Origin::Model);
    let searches = system.worker.queries.lock().unwrap().len();
    let (session, acme) = (system.session().await, tenant());
    let submit = || system.registry.submit(&acme, &session, message(" how do I reset my PASSWORD", Some("m")));
    let first = collect(submit().await.unwrap()).await;
    let [(0, TurnEvent::Retrieved { citations: given }), (1, TurnEvent::Token { text: token, .. }), (2, last)] =
        &first[..]
    else {
        panic!("{first:?}")
    };
    let TurnEvent::Finished { text, citations, usage, origin, degraded, .. } = last else { panic!("{last:?}") };
    assert_eq!((text, token.as_str(), citations), (token, "Press it [1].", given));
    assert_eq!((*usage, *origin, *degraded, citations.len()), (Usage::default(), Origin::Cache, false, 1));
    assert_eq!(collect(submit().await.unwrap()).await, first, "a repeat reads the same");
    let view = system.registry.view(&tenant(), &session).await.unwrap();
    assert_eq!(view.messages[1].turn.as_ref().unwrap().origin, Origin::Cache);
    assert_eq!((system.generations(), system.worker.queries.lock().unwrap().len()), (1, searches));
}

#[tokio::test]
async fn what_follows_a_conversation_is_not_from_the_cache() {
    let system = system().await;
    let session = system.session().await;
    for _ in 0..2 {
        assert_eq!(end(system.say(&session, RESET).await).await.1, Origin::Model);
    }
    assert_eq!(system.ask(RESET).await, Origin::Cache);
}

#[tokio::test]
async fn an_answer_stays_with_its_tenant_and_its_language() {
    let system = system().await;
    assert_eq!(system.ask(RESET).await, Origin::Model);
    let other = TenantId::parse("other").unwrap();
    assert_eq!(ask_as(&system.registry, &other, message(RESET, None)).await.1, Origin::Model);
    let french = Submit { lang: Some(Lang::parse("fr").unwrap()), ..message(RESET, None) };
    assert_eq!(ask_as(&system.registry, &tenant(), french).await.1, Origin::Model);
    assert_eq!((system.ask(RESET).await, system.generations()), (Origin::Cache, 3));
}

#[tokio::test]
async fn no_answer_is_shown_from_knowledge_that_is_not_served() {
    let system = system().await;
    assert_eq!(system.ask(RESET).await, Origin::Model);
    system.publish(2).await;
    assert_eq!(system.ask(RESET).await, Origin::Model);
    assert_eq!(system.ask(RESET).await, Origin::Cache);
    system.publish(1).await;
    assert_eq!((system.ask(RESET).await, system.generations()), (Origin::Cache, 2), "the old answers are right again");
    // A worker that has not heard of it yet: its passages are good enough for the model, but not for the cache.
    system.publish(3).await;
    system.worker.version.store(1, Ordering::SeqCst);
    assert_eq!(system.ask(RESET).await, Origin::Model);
    assert_eq!(system.ask(RESET).await, Origin::Model);
}

#[tokio::test]
async fn without_a_version_nothing_is_kept() {
    let system = System::start(config(), says).await;
    for _ in 0..2 {
        assert_eq!(system.ask(RESET).await, Origin::Model);
    }
}

#[tokio::test]
async fn an_answer_belongs_to_its_policy() {
    let system = system().await;
    let call = |told: Option<&str>| {
        let told = told.map(|text| ChatMessage::new(Role::System, text));
        let messages = told.into_iter().chain([ChatMessage::new(Role::User, RESET)]).collect();
        Completion { messages, knowledge: true, ..Completion::default() }
    };
    let complete = async |completion| end(system.registry.complete(&tenant(), completion).await.unwrap()).await.1;
    assert_eq!(complete(call(None)).await, Origin::Model);
    assert_eq!((complete(call(None)).await, system.ask(RESET).await), (Origin::Cache, Origin::Cache));
    assert_eq!(complete(call(Some("Rhyme."))).await, Origin::Model);
    assert_eq!(complete(call(Some("Rhyme."))).await, Origin::Cache);
    assert_eq!(complete(call(Some("Shout."))).await, Origin::Model);
    let mut warm = call(None);
    warm.sampling.temperature = Some(1.0);
    assert_eq!(complete(warm).await, Origin::Model);
    assert_eq!(complete(Completion { thinking: Some(true), ..call(None) }).await, Origin::Model);
    let mut talk = call(None);
    talk.messages.splice(0..0, [ChatMessage::new(Role::User, "Hi"), ChatMessage::new(Role::Assistant, "Hi!")]);
    assert_eq!(complete(talk).await, Origin::Model);
    // Another persona, other rules: another node whose tenant is somebody else.
    let other = start_with(
        system.store.clone(),
        system.config.clone(),
        Profiles::default(),
        NodeId::parse("node-2").unwrap(),
        context(system.broker.clone()),
    );
    assert_eq!(ask_as(&other.await.unwrap(), &tenant(), message(RESET, None)).await.1, Origin::Model);
}

#[tokio::test]
async fn what_is_about_one_person_is_not_kept() {
    let system = System::start(config(), |job: &InferenceJob, _| {
        let question = &job.messages.last().unwrap().content;
        vec![Step::Say(if question.contains("parcel") { "Yours is SF10234567 [1]." } else { "Press it [1]." })]
    })
    .await;
    system.worker.version.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        for text in ["My order 1234567 is late, what now?", "我叫王芳,怎么退货?", "Where is my parcel?"] {
            assert_eq!(system.ask(text).await, Origin::Model, "{text}");
        }
    }
}

#[tokio::test]
async fn a_question_of_the_same_meaning_gets_the_answer_if_it_rests_on_the_same_documents() {
    let system = system().await;
    let other_words = "In which way do I reset my password?";
    let opposite = "How do I not reset my password?";
    let (a, b, far) = ([1.0, 0.0], [1.0, 0.1], [1.0, 0.6]);
    system.worker.meanings.lock().unwrap().extend([
        (RESET, a),
        (other_words, b),
        (opposite, a),
        ("How do I change it?", far),
    ]);
    assert_eq!(system.ask(RESET).await, Origin::Model);
    eventually("the answer is kept", || system.generations() == 1).await;
    assert_eq!(system.ask(other_words).await, Origin::Cache);
    assert_eq!(system.ask(opposite).await, Origin::Model);
    assert_eq!(system.ask("How do I change it?").await, Origin::Model);
    system.worker.is_moved.store(true, Ordering::SeqCst);
    assert_eq!(system.ask(other_words).await, Origin::Model, "what it rests on is not found any more");
    assert_eq!(system.generations(), 4);
}

/// Whether all of `asked` were answered alike.
async fn all_alike(asked: Vec<TurnStream>, answer: &str) {
    let ends = futures_util::future::join_all(asked.into_iter().map(end)).await;
    assert!(ends.iter().all(|(text, _)| text == answer), "{ends:?}");
    assert!(ends.iter().filter(|(_, origin)| *origin == Origin::Model).count() <= 1);
}

async fn asked(registry: &Registry, count: usize) -> Vec<TurnStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let session = registry.create(&tenant()).await.unwrap().id;
        streams.push(registry.submit(&tenant(), &session, message(RESET, None)).await.unwrap());
    }
    streams
}

/// A worker that takes its time, so that others come meanwhile.
async fn slow() -> (Arc<dyn Broker>, Arc<FakeWorker>) {
    let broker = broker::connect("memory:", Duration::from_secs(1)).await.unwrap();
    let script = |_: &InferenceJob, _| vec![Step::Pause(2_000), Step::Say("Press it [1].")];
    let worker = FakeWorker::start(broker.clone(), Box::new(script)).await;
    worker.version.store(1, Ordering::SeqCst);
    (broker, worker)
}

#[tokio::test]
async fn a_thousand_equal_questions_cost_one_generation() {
    let (broker, worker) = slow().await;
    let store = memory_store(&config()).await;
    let node = node("node-1", &broker, &store, &config()).await;
    all_alike(asked(&node, 1_000).await, "Press it [1].").await;
    assert_eq!(worker.jobs.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_questions_at_two_nodes_cost_one_generation_and_without_redis_turns_go_on() {
    let mut redis = runtime::testing::Redis::start();
    let (broker, worker) = slow().await;
    let config = Config { answer_cache: redis.url(), answer_cache_patience_ms: 2_000, ..config() };
    let store = memory_store(&config).await;
    let (one, two) = (node("node-1", &broker, &store, &config).await, node("node-2", &broker, &store, &config).await);
    let (at_one, at_two) = tokio::join!(asked(&one, 20), asked(&two, 20));
    all_alike(at_one.into_iter().chain(at_two).collect(), "Press it [1].").await;
    assert_eq!(worker.jobs.lock().unwrap().len(), 1);
    redis.kill();
    let origin = ask_as(&one, &tenant(), message("How do I change my password?", None)).await.1;
    assert_eq!((origin, worker.jobs.lock().unwrap().len()), (Origin::Model, 2));
}

#[tokio::test]
async fn who_waits_for_somebody_that_leaves_asks_the_model_then() {
    let system =
        System::start(config(), |_: &InferenceJob, _| vec![Step::Pause(300), Step::Say("Press it [1].")]).await;
    system.worker.version.store(1, Ordering::SeqCst);
    let first = system.session().await;
    let stopped = system.say(&first, RESET).await;
    eventually("the first one asks the model", || system.generations() == 1).await;
    let others = asked(&system.registry, 3).await;
    eventually("all have searched", || system.worker.queries.lock().unwrap().len() == 4).await;
    system.registry.stop(&tenant(), &first, None).await.unwrap();
    end(stopped).await;
    all_alike(others, "Press it [1].").await;
    assert_eq!(system.generations(), 2);
}

#[tokio::test]
async fn where_the_model_fails_nobody_waits_for_another_ones_luck() {
    let system = System::start(config(), |_: &InferenceJob, _| vec![Step::Pause(200), Step::Fail]).await;
    system.worker.version.store(1, Ordering::SeqCst);
    let ends = futures_util::future::join_all(asked(&system.registry, 4).await.into_iter().map(collect)).await;
    let is_degraded = |(_, event): &(u64, TurnEvent)| matches!(event, TurnEvent::Finished { degraded: true, .. });
    assert!(ends.iter().all(|events| events.last().is_some_and(is_degraded)), "{ends:?}");
    assert_eq!(system.generations(), 4);
}
