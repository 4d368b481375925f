//! What every answer cache's store does, on each of them.

#![expect(clippy::unwrap_used, reason = "tests")]

use actors::cache::{AnswerStore, Bounds, Entry, Hash, Key, Listed, Scope, connect};
use protocol::{Citation, DocumentId, KnowledgeVersion, Lang, QuantizedVector, TenantId, Timestamp};
use runtime::clock::{ManualClock, System};
use std::{sync::Arc, time::Duration};

const TTL: Duration = Duration::from_millis(600);
const LEAD: Duration = Duration::from_millis(300);
const BOUNDS: Bounds = Bounds { ttl: TTL, entries: 3 };

/// A store and how its time passes.
struct Subject {
    store: Arc<dyn AnswerStore>,
    clock: Option<ManualClock>,
}

impl Subject {
    async fn pass(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time.as_millis() as u64),
            None => tokio::time::sleep(time).await,
        }
    }

    async fn keep(&self, key: &Key, question: &str, answer: &str) {
        let vector = Some(QuantizedVector::of(&[1.0, 0.5]));
        let listed = Listed { scope: key.scope.name(), question: question.into(), vector };
        self.store.keep(key, &entry(question, answer), &listed).await.unwrap();
    }

    async fn answer(&self, key: &Key) -> Option<String> {
        self.store.find(key).await.unwrap().map(|entry| entry.answer)
    }

    async fn listed(&self, tenant: &str) -> Vec<String> {
        let tail = self.store.tail(&TenantId::parse(tenant).unwrap(), None, 99).await.unwrap();
        tail.into_iter().map(|(_, listed)| listed.question).collect()
    }
}

fn scope(tenant: &str) -> Scope {
    let (tenant, policy) = (TenantId::parse(tenant).unwrap(), Hash::of([&b"policy"[..]]));
    Scope { tenant, lang: Lang::en(), version: KnowledgeVersion(7), policy }
}

fn key(tenant: &str, question: &str) -> Key {
    Key::new(scope(tenant), question)
}

fn entry(question: &str, answer: &str) -> Entry {
    let citation = Citation {
        number: 1,
        document: DocumentId::parse("d").unwrap(),
        title: "标题".into(),
        passage: "a \"passage\"\n".into(),
        score: 0.5,
    };
    let (question, answer, model) = (question.into(), answer.into(), "m".into());
    Entry { question, answer, citations: vec![citation], model, at: Timestamp(5) }
}

async fn what_is_kept_is_found_within_its_scope(subject: &Subject) {
    let asked = key("scope", "How?");
    assert_eq!(subject.answer(&asked).await, None);
    subject.keep(&asked, "How?", "So [1].").await;
    assert_eq!(subject.store.find(&key("scope", " how ")).await.unwrap(), Some(entry("How?", "So [1].")));
    let scope = scope("scope");
    for other in [
        Scope { tenant: TenantId::parse("scope2").unwrap(), ..scope.clone() },
        Scope { lang: Lang::zh(), ..scope.clone() },
        Scope { version: KnowledgeVersion(8), ..scope.clone() },
        Scope { policy: Hash::of([&b"another"[..]]), ..scope.clone() },
    ] {
        assert_eq!(subject.answer(&Key::new(other, "How?")).await, None);
    }
    assert_eq!(subject.answer(&key("scope", "Why?")).await, None);
}

async fn a_list_tells_what_is_new(subject: &Subject) {
    for question in ["one", "two"] {
        subject.keep(&key("list", question), question, "yes").await;
    }
    let tenant = TenantId::parse("list").unwrap();
    let tail = subject.store.tail(&tenant, None, 1).await.unwrap();
    assert_eq!((tail.len(), tail[0].1.question.as_str()), (1, "one"));
    assert_eq!(tail[0].1.vector, Some(QuantizedVector::of(&[1.0, 0.5])));
    let rest = subject.store.tail(&tenant, Some(&tail[0].0), 9).await.unwrap();
    assert_eq!((rest.len(), rest[0].1.question.as_str()), (1, "two"));
    assert_eq!(subject.store.tail(&tenant, Some(&rest[0].0), 9).await.unwrap(), []);
    subject.keep(&key("list", "one"), "one", "again").await;
    let again = subject.store.tail(&tenant, Some(&rest[0].0), 9).await.unwrap();
    assert_eq!((again.len(), again[0].1.question.as_str()), (1, "one"));
    assert_eq!(subject.listed("list").await, ["two", "one"]);
    assert_eq!(subject.listed("nobody").await, [""; 0]);
}

async fn the_oldest_answers_go(subject: &Subject) {
    for question in ["one", "two", "one", "three", "four"] {
        subject.keep(&key("bound", question), question, "yes").await;
    }
    assert_eq!(subject.listed("bound").await, ["one", "three", "four"]);
    assert_eq!(subject.answer(&key("bound", "two")).await, None);
    assert_eq!(subject.answer(&key("bound", "one")).await.as_deref(), Some("yes"));
}

async fn an_answer_is_forgotten_after_its_time(subject: &Subject) {
    subject.keep(&key("ttl", "old"), "old", "yes").await;
    subject.pass(TTL / 2).await;
    assert!(subject.answer(&key("ttl", "old")).await.is_some());
    subject.keep(&key("ttl", "new"), "new", "yes").await;
    subject.pass(TTL / 2 + Duration::from_millis(20)).await;
    assert_eq!(subject.answer(&key("ttl", "old")).await, None);
    assert!(subject.answer(&key("ttl", "new")).await.is_some());
}

async fn one_leads_at_a_time(subject: &Subject) {
    let (asked, store) = (key("lead", "Who?"), &subject.store);
    assert!(store.lead(&asked, "a", LEAD).await.unwrap());
    assert!(!store.lead(&asked, "b", LEAD).await.unwrap());
    assert!(store.lead(&key("lead", "What?"), "b", LEAD).await.unwrap());
    assert!(store.lead(&key("lead2", "Who?"), "b", LEAD).await.unwrap());
    store.follow(&asked, "b").await.unwrap();
    assert!(!store.lead(&asked, "b", LEAD).await.unwrap(), "only who leads gives the lead back");
    store.follow(&asked, "a").await.unwrap();
    assert!(store.lead(&asked, "b", LEAD).await.unwrap());
    subject.pass(LEAD / 2).await;
    assert!(store.lead(&asked, "b", LEAD).await.unwrap(), "who leads already goes on");
    subject.pass(LEAD * 2 / 3).await;
    assert!(!store.lead(&asked, "a", LEAD).await.unwrap());
    subject.pass(LEAD).await;
    assert!(store.lead(&asked, "a", LEAD).await.unwrap(), "a lead that nobody renews ends");
}

async fn suite(subject: &Subject) {
    what_is_kept_is_found_within_its_scope(subject).await;
    a_list_tells_what_is_new(subject).await;
    the_oldest_answers_go(subject).await;
    an_answer_is_forgotten_after_its_time(subject).await;
    one_leads_at_a_time(subject).await;
}

#[tokio::test]
async fn memory() {
    let clock = ManualClock::at(1_000_000);
    let store = connect("memory:", BOUNDS, Arc::new(clock.clone()), Duration::from_secs(1)).await.unwrap();
    suite(&Subject { store, clock: Some(clock) }).await;
}

#[tokio::test]
async fn redis() {
    let server = runtime::testing::Redis::start();
    let store = connect(&server.url(), BOUNDS, Arc::new(System), Duration::from_secs(5)).await.unwrap();
    suite(&Subject { store, clock: None }).await;
}
