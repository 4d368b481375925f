//! Equal questions at several nodes, in simulated time: customers leave, answers cannot be shared, generation fails, nodes
//! die. Whatever the order, nobody waits for nobody, and where nothing goes wrong one generation is all.

use super::{
    AnswerStore, Bounds, Cache, CacheError, Draft, Entry, Found, Hash, Key, Listed, Place, Question, Recalled,
    draft::LEAD, memory::MemoryAnswers,
};
use crate::{Config, turn::Answer};
use async_trait::async_trait;
use futures_util::future::{pending, select};
use proptest::prelude::*;
use protocol::{Citation, DocumentId, FinishReason, KnowledgeVersion, Lang, Origin, TenantId, Timestamp, Usage};
use runtime::{Clock, clock};
use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

const NODES: usize = 3;
/// A request to the store is under way for this long at most, which is less than it is waited for.
const LONGEST_WAY_MS: u64 = 19;
/// A generation takes this long at most.
const LONGEST_MS: u64 = 20_000;

/// Time that passes when nothing else happens.
#[derive(Clone, Default)]
struct Time(Arc<Mutex<Timers>>);

#[derive(Default)]
struct Timers {
    now: u64,
    count: u64,
    due: BTreeMap<(u64, u64), oneshot::Sender<()>>,
}

impl Time {
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        let mut timers = self.0.lock().unwrap();
        timers.count += 1;
        let at = (timers.now + time.as_millis() as u64, timers.count);
        timers.due.insert(at, sender);
        async move { drop(receiver.await) }
    }

    /// Moves to the next instant at which something is due for somebody.
    fn advance(&self) -> bool {
        let mut timers = self.0.lock().unwrap();
        while let Some(((at, _), sender)) = timers.due.pop_first() {
            timers.now = at;
            if sender.send(()).is_ok() {
                return true;
            }
        }
        false
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000 + self.0.lock().unwrap().now)
    }
}

/// The store as a node reaches it until it dies.
struct Link {
    store: Arc<dyn AnswerStore>,
    time: Time,
    is_dead: AtomicBool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl Link {
    async fn check(&self) {
        let some_time = self.time.0.lock().unwrap().count * 7 % LONGEST_WAY_MS;
        self.time.pause(Duration::from_millis(1 + some_time)).await;
        if self.is_dead.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl AnswerStore for Link {
    async fn find(&self, key: &Key) -> Result<Option<Entry>, CacheError> {
        self.check().await;
        self.store.find(key).await
    }
    async fn keep(&self, key: &Key, entry: &Entry, listed: &Listed) -> Result<(), CacheError> {
        self.check().await;
        self.store.keep(key, entry, listed).await
    }
    async fn tail(&self, of: &TenantId, after: Option<&Place>, n: usize) -> Result<Vec<(Place, Listed)>, CacheError> {
        self.check().await;
        self.store.tail(of, after, n).await
    }
    async fn lead(&self, key: &Key, by: &str, ttl: Duration) -> Result<bool, CacheError> {
        self.check().await;
        self.store.lead(key, by, ttl).await
    }
    async fn follow(&self, key: &Key, by: &str) -> Result<(), CacheError> {
        self.check().await;
        self.store.follow(key, by).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Whole,
    Unfit,
    Failed,
}

#[derive(Debug, Clone)]
struct Customer {
    node: usize,
    comes_ms: u64,
    leaves_after_ms: Option<u64>,
    generates_ms: u64,
    outcome: Outcome,
}

#[derive(Default)]
struct Counts {
    generations: AtomicUsize,
    answered: AtomicUsize,
}

fn customer() -> impl Strategy<Value = Customer> {
    let outcome = prop_oneof![4 => Just(Outcome::Whole), 1 => Just(Outcome::Unfit), 1 => Just(Outcome::Failed)];
    let leaves = prop::option::weighted(0.3, 0u64..30_000);
    (0..NODES, 0u64..15_000, leaves, 1u64..LONGEST_MS, outcome).prop_map(
        |(node, comes_ms, leaves_after_ms, generates_ms, outcome)| Customer {
            node,
            comes_ms,
            leaves_after_ms,
            generates_ms,
            outcome,
        },
    )
}

fn answer(outcome: Outcome) -> Answer {
    let document = DocumentId::parse("d").unwrap();
    let passage = Citation { number: 1, document, title: String::new(), passage: "p".into(), score: 1.0 };
    Answer {
        text: "So [1].".into(),
        reason: FinishReason::Stop,
        usage: Usage::default(),
        citations: if outcome == Outcome::Whole { vec![passage] } else { Vec::new() },
        reasoning: String::new(),
        tool_calls: Vec::new(),
        last_seq: 2,
        degraded: false,
        origin: Origin::Model,
    }
}

async fn generate(time: &Time, mut draft: Box<Draft>, customer: &Customer, counts: &Counts) {
    counts.generations.fetch_add(1, Ordering::SeqCst);
    draft.began("m");
    time.pause(Duration::from_millis(customer.generates_ms)).await;
    match customer.outcome {
        Outcome::Failed => draft.failed(),
        outcome => draft.answered(&answer(outcome)),
    }
}

async fn ask(cache: Arc<Cache>, time: Time, customer: Customer, counts: Arc<Counts>) {
    time.pause(Duration::from_millis(customer.comes_ms)).await;
    let (tenant, policy) = (TenantId::parse("t").unwrap(), Hash::of([]));
    let question = Question { tenant, lang: Lang::en(), policy, text: "How?".into() };
    let found = Found { version: KnowledgeVersion(1), vector: None, documents: Vec::new() };
    match cache.join(&question, &found).await {
        Recalled::Answer(_) => drop(counts.answered.fetch_add(1, Ordering::SeqCst)),
        Recalled::Draft(draft) => generate(&time, draft, &customer, &counts).await,
        Recalled::Nothing => panic!("the version is served"),
    }
}

/// Plays `customers` until all have an end; one node may die at an instant. Returns the counts and how long it took.
async fn play(customers: &[Customer], death: Option<(usize, u64)>) -> (Arc<Counts>, u64) {
    let (time, counts) = (Time::default(), Arc::<Counts>::default());
    let bounds = Bounds { ttl: Duration::from_secs(3_600), entries: 10 };
    let store: Arc<dyn AnswerStore> = Arc::new(MemoryAnswers::new(bounds, Arc::new(time.clone())));
    let random = Arc::new(clock::Counting::default());
    let link = || Link { store: store.clone(), time: time.clone(), is_dead: AtomicBool::new(false) };
    let links: Vec<Arc<Link>> = (0..NODES).map(|_| Arc::new(link())).collect();
    let cache = |link: &Arc<Link>| {
        let pauses = time.clone();
        let pause: super::Pause = Arc::new(move |of| Box::pin(pauses.pause(of)));
        Cache::new(link.clone(), &Config::default(), Arc::new(time.clone()), random.clone(), pause)
    };
    let caches: Vec<Arc<Cache>> = links.iter().map(cache).collect();
    let mut tasks = Vec::new();
    for customer in customers {
        let asks = ask(caches[customer.node].clone(), time.clone(), customer.clone(), counts.clone());
        let dies = death.filter(|(node, _)| *node == customer.node).map(|(_, at)| at);
        let stays = customer.leaves_after_ms.map(|after| customer.comes_ms + after).into_iter().chain(dies).min();
        let leaves = stays.map(|at| time.pause(Duration::from_millis(at)));
        tasks.push(tokio::spawn(async move {
            let leaves = async { if let Some(leaves) = leaves { leaves.await } else { pending().await } };
            select(pin!(asks), pin!(leaves)).await;
        }));
    }
    if let Some((node, at)) = death {
        let (link, dies) = (links[node].clone(), time.pause(Duration::from_millis(at.saturating_sub(1))));
        tasks.push(tokio::spawn(async move {
            dies.await;
            link.is_dead.store(true, Ordering::SeqCst);
        }));
    }
    loop {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        if tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
        assert!(time.advance(), "somebody waits for nobody");
    }
    for task in tasks {
        task.await.unwrap();
    }
    let took = time.0.lock().unwrap().now;
    (counts, took)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn everybody_has_an_end_whatever_happens(
        customers in prop::collection::vec(customer(), 1..25),
        death in prop::option::of((0..NODES, 0u64..30_000)),
    ) {
        let (counts, took) = run(play(&customers, death));
        let generations = counts.generations.load(Ordering::SeqCst);
        prop_assert!(generations <= customers.len());
        // Nobody waits longer than for those who lead before them, one at a time, and for the leads of those who died.
        let lead = LEAD.as_millis() as u64;
        let longest = 15_000 + (LONGEST_MS + lead + 1_000) * customers.len() as u64;
        prop_assert!(took <= longest, "{took} ms");
    }

    #[test]
    fn one_generation_is_enough_where_nothing_goes_wrong(
        customers in prop::collection::vec(customer(), 1..40),
    ) {
        let whole = |customer: &Customer| Customer { leaves_after_ms: None, outcome: Outcome::Whole, ..customer.clone() };
        let customers: Vec<Customer> = customers.iter().map(whole).collect();
        let (counts, took) = run(play(&customers, None));
        prop_assert_eq!(counts.generations.load(Ordering::SeqCst), 1);
        prop_assert_eq!(counts.answered.load(Ordering::SeqCst), customers.len() - 1);
        prop_assert!(took <= 15_000 + LONGEST_MS + 1_000, "{} ms", took);
    }
}

fn at(node: usize, comes_ms: u64) -> Customer {
    Customer { node, comes_ms, leaves_after_ms: None, generates_ms: 10_000, outcome: Outcome::Whole }
}

#[test]
fn when_the_leading_node_dies_another_one_leads() {
    let customers = [at(0, 0), at(1, 10), at(1, 20), at(2, 30)];
    let (counts, took) = run(play(&customers, Some((0, 2_000))));
    assert_eq!(counts.generations.load(Ordering::SeqCst), 2);
    assert_eq!(counts.answered.load(Ordering::SeqCst), 2);
    assert!((10_000..=19_000).contains(&took), "{took} ms");
}

#[test]
fn when_the_leader_leaves_the_next_one_leads() {
    let customers = [Customer { leaves_after_ms: Some(3_000), ..at(0, 0) }, at(0, 10), at(1, 20)];
    let (counts, took) = run(play(&customers, None));
    assert_eq!(counts.generations.load(Ordering::SeqCst), 2);
    assert!((13_000..=13_300).contains(&took), "{took} ms");
}

#[test]
fn when_generation_fails_everybody_at_the_node_goes_their_own_way() {
    let customers = [Customer { outcome: Outcome::Failed, generates_ms: 1_000, ..at(0, 0) }, at(0, 10), at(0, 20)];
    let (counts, took) = run(play(&customers, None));
    assert_eq!(counts.generations.load(Ordering::SeqCst), 3);
    assert!((11_000..=11_100).contains(&took), "{took} ms");
}
