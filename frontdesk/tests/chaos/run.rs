//! One run: a system, customers, faults, and the verdict.

use crate::{
    checker::{Violation, check},
    cluster::Cluster,
    customers::{Customer, Shop},
    faults::{self, Fault},
    harness::{KEY, OTHER_KEY, http},
    meddle,
    report::Report,
    watch::Watch,
};
use fastrand::Rng;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, task::JoinSet};

/// Customers who talk at the same time, half of them of each tenant.
const CUSTOMERS: usize = 16;
/// How long those who left may wait for their answers after everybody else has theirs.
const SETTLE: Duration = Duration::from_secs(60);

/// What a run is made of.
pub struct Plan {
    pub seed: u64,
    /// Faults go on until this time has passed and each has happened once.
    pub time: Duration,
    pub gateways: usize,
    /// Faults of processes.
    pub faults: Vec<Fault>,
}

/// What is left when a run is over; the system still runs.
pub struct Outcome {
    pub cluster: Cluster,
    pub shop: Arc<Shop>,
    pub violations: Vec<Violation>,
}

fn key(tenant: &str) -> &'static str {
    if tenant == "acme" { KEY } else { OTHER_KEY }
}

pub async fn run(plan: Plan) -> Outcome {
    println!("seed {}", plan.seed);
    let mut rng = Rng::with_seed(plan.seed);
    let handle = Handle::current();
    let starting = (handle.clone(), plan.gateways);
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&starting.0, starting.1)).await.unwrap();
    let begin = Instant::now();
    let (tap, meddled) = meddle::start(cluster.rabbit.url(), rng.fork());
    let shop = Shop::new(http(), cluster.urls());
    let store = redis::Client::open(cluster.redis.url()).unwrap();
    let customers = customers(&shop, &mut rng);
    let over = Arc::<AtomicBool>::default();
    let watching = {
        let (shop, store, over, rng) = (shop.clone(), store.clone(), over.clone(), rng.fork());
        tokio::spawn(async move {
            Watch { shop: &shop, store, key, rng }.run(|| over.load(Ordering::SeqCst)).await;
        })
    };
    let (mut cluster, counts) = inflict(cluster, &plan, begin, &mut rng).await;
    drop(tap);
    shop.close();
    customers.join_all().await;
    over.store(true, Ordering::SeqCst);
    watching.await.unwrap();
    let repeats = Watch { shop: &shop, store, key, rng }.settle(SETTLE).await;
    let violations = {
        let book = shop.book.lock().unwrap();
        let violations = check(&book);
        print!("{}", Report { counts: &counts, meddled: &meddled, repeats, book: &book, violations: &violations });
        violations
    };
    if !violations.is_empty() {
        cluster.system.dir.disable_cleanup(true);
        println!("logs: {}", cluster.system.dir.path().display());
    }
    println!("after {:.0} s", begin.elapsed().as_secs_f32());
    Outcome { cluster, shop, violations }
}

fn customers(shop: &Arc<Shop>, rng: &mut Rng) -> JoinSet<()> {
    let tenants = ["acme", "globex"].into_iter().cycle().take(CUSTOMERS);
    let customer = |(number, tenant): (usize, &'static str)| {
        let (shop, rng, name) = (shop.clone(), rng.fork(), format!("{tenant}{number}"));
        Customer { shop, tenant, key: key(tenant), name, rng }.visit()
    };
    tenants.enumerate().map(customer).collect()
}

/// Faults of both kinds, each on a thread of its own.
async fn inflict(mut cluster: Cluster, plan: &Plan, begin: Instant, rng: &mut Rng) -> (Cluster, faults::Counts) {
    let (handle, time, kinds) = (Handle::current(), plan.time, plan.faults.clone());
    let doors: Vec<_> = cluster.parts().map(|part| part.doors.clone()).collect();
    let (one, other) = (rng.fork(), rng.fork());
    let over = Arc::<AtomicBool>::default();
    let disturbed = {
        let over = over.clone();
        tokio::task::spawn_blocking(move || faults::connections(&doors, other, &|_| !over.load(Ordering::SeqCst)))
    };
    let inflicted = tokio::task::spawn_blocking(move || {
        let go_on = |rounds| rounds == 0 || begin.elapsed() < time;
        let counts = faults::processes(&mut cluster, &handle, one, &kinds, &go_on);
        (cluster, counts)
    });
    // A panic in there is the test's.
    let inflicted = inflicted.await;
    over.store(true, Ordering::SeqCst);
    let (mut disturbed, (cluster, inflicted)) = (disturbed.await.unwrap(), inflicted.unwrap());
    disturbed.extend(inflicted);
    (cluster, disturbed)
}
