//! What goes wrong, in what order, and how it is mended.

use crate::cluster::{Cluster, Doors, LEASE, Part};
use fastrand::Rng;
use protocol::topology;
use runtime::{BrokerError, Message};
use std::{
    collections::BTreeMap,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, task::JoinSet};

/// How long a connection stays slow, and how much later a few kilobytes come.
const SLOW: Duration = Duration::from_millis(2_000);
const LAG: Duration = Duration::from_millis(40);
/// How long what fills a queue stays there, and how long it may take to drain.
const STAYS: Duration = Duration::from_secs(6);
const DRAINS: Duration = Duration::from_secs(3);
/// Messages that are published at the same time to fill a queue.
const BATCH: usize = 512;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillGateway,
    KillGpuWorker,
    KillRetrievalWorker,
    KillRabbitMq,
    KillRedis,
    /// A gateway is halted for longer than its leases last, and wakes up.
    PauseGateway,
    PauseGpuWorker,
    /// SIGTERM: the gateway hands its sessions over.
    StopGateway,
    StopGpuWorker,
    FillQueue,
    CutBroker,
    CutStore,
    ShutBroker,
    ShutStore,
    SlowBroker,
    SlowStore,
}

use Fault::{
    CutBroker, CutStore, FillQueue, KillGateway, KillGpuWorker, KillRabbitMq, KillRedis, KillRetrievalWorker,
    PauseGateway, PauseGpuWorker, ShutBroker, ShutStore, SlowBroker, SlowStore, StopGateway, StopGpuWorker,
};

/// Faults of processes, which come one after another.
pub const PROCESSES: &[Fault] = &[
    KillGateway,
    KillGpuWorker,
    KillRetrievalWorker,
    KillRabbitMq,
    KillRedis,
    PauseGateway,
    PauseGpuWorker,
    StopGateway,
    StopGpuWorker,
    FillQueue,
];
/// Faults of connections, which come at the same time as those.
pub const CONNECTIONS: &[Fault] = &[CutBroker, CutStore, ShutBroker, ShutStore, SlowBroker, SlowStore];

/// How often each happened.
pub type Counts = BTreeMap<Fault, u64>;

/// Whether one more fault begins; told how many rounds are complete.
pub type GoOn<'a> = &'a dyn Fn(usize) -> bool;

/// Faults of processes in random order, round after round.
pub fn processes(cluster: &mut Cluster, handle: &Handle, mut rng: Rng, faults: &[Fault], go_on: GoOn<'_>) -> Counts {
    let mut counts = Counts::new();
    rounds(&mut rng, faults, go_on, |fault, rng| {
        inflict(fault, cluster, handle, rng);
        *counts.entry(fault).or_default() += 1;
        assert_eq!(cluster.crashed(), None, "nothing ends by itself");
    });
    counts
}

/// Faults of connections in random order, round after round.
pub fn connections(doors: &[Arc<Doors>], mut rng: Rng, go_on: GoOn<'_>) -> Counts {
    let mut counts = Counts::new();
    rounds(&mut rng, CONNECTIONS, go_on, |fault, rng| {
        let doors = doors.iter().filter(|doors| doors.have(fault));
        disturb(fault, rng.choice(doors.collect::<Vec<_>>()).unwrap(), rng);
        *counts.entry(fault).or_default() += 1;
    });
    counts
}

fn rounds(rng: &mut Rng, faults: &[Fault], go_on: GoOn<'_>, mut inflict: impl FnMut(Fault, &mut Rng)) {
    for round in 0.. {
        let mut order = faults.to_vec();
        rng.shuffle(&mut order);
        for fault in order {
            if !go_on(round) {
                return;
            }
            sleep(Duration::from_millis(rng.u64(200..1_200)));
            let begin = Instant::now();
            inflict(fault, rng);
            println!("  {fault:?} took {:.1} s", begin.elapsed().as_secs_f32());
        }
    }
}

fn inflict(fault: Fault, cluster: &mut Cluster, handle: &Handle, rng: &mut Rng) {
    let moment = Duration::from_millis(rng.u64(0..1_000));
    match fault {
        KillGateway => any(&mut cluster.gateways, rng).kill(),
        KillGpuWorker => any(&mut cluster.gpu, rng).kill(),
        KillRetrievalWorker => any(&mut cluster.retrieval, rng).kill(),
        StopGateway => any(&mut cluster.gateways, rng).stop(),
        StopGpuWorker => any(&mut cluster.gpu, rng).stop(),
        PauseGateway => pause(any(&mut cluster.gateways, rng), LEASE + LEASE / 2 + moment),
        PauseGpuWorker => pause(any(&mut cluster.gpu, rng), moment),
        KillRabbitMq => {
            cluster.rabbit.kill();
            sleep(moment);
            cluster.rabbit.start_again();
        }
        KillRedis => {
            cluster.redis.kill();
            sleep(moment);
            cluster.redis.start_again();
        }
        FillQueue => fill(cluster, handle),
        _ => unreachable!("{fault:?} is no process's fault"),
    }
    // What is dead stays so for a moment.
    sleep(moment);
    cluster.ready(handle);
}

fn any<'a>(parts: &'a mut [Part], rng: &mut Rng) -> &'a mut Part {
    let number = rng.usize(0..parts.len());
    &mut parts[number]
}

fn pause(part: &Part, time: Duration) {
    let process = &part.running.as_ref().unwrap().process;
    process.pause();
    sleep(time);
    process.resume();
}

impl Doors {
    /// Workers have nothing to do with the store.
    fn have(&self, fault: Fault) -> bool {
        self.role == "gateway" || !is_of_store(fault)
    }
}

fn is_of_store(fault: Fault) -> bool {
    matches!(fault, CutStore | ShutStore | SlowStore)
}

fn disturb(fault: Fault, doors: &Doors, rng: &mut Rng) {
    let moment = Duration::from_millis(rng.u64(100..1_500));
    let door = if is_of_store(fault) { &doors.store } else { &doors.broker };
    match fault {
        ShutBroker | ShutStore => {
            door.shut();
            sleep(moment);
            door.open();
        }
        SlowBroker | SlowStore => {
            door.slow(LAG);
            sleep(SLOW);
            door.open();
        }
        _ => door.cut(),
    }
}

/// Halts who reads the queue, fills it until it refuses, and lets it drain.
fn fill(cluster: &Cluster, handle: &Handle) {
    let workers: Vec<_> = cluster.gpu.iter().filter_map(|part| part.running.as_ref()).collect();
    workers.iter().for_each(|worker| worker.process.pause());
    let is_full = handle.block_on(flood(&cluster.rabbit.url()));
    workers.iter().for_each(|worker| worker.process.resume());
    assert!(is_full, "{} messages are more than the queue takes", topology::INFERENCE.max_length);
    sleep(DRAINS);
}

/// Whether the queue was full in the end.
async fn flood(url: &str) -> bool {
    let broker = runtime::broker::connect(url, Duration::from_secs(20)).await.unwrap();
    let mut published = JoinSet::new();
    // The first ones may have gone when the last ones come.
    for _ in 0..2 * topology::INFERENCE.max_length {
        let broker = broker.clone();
        published.spawn(async move {
            let message = Message { body: "junk".into(), ttl: Some(STAYS) };
            broker.publish(topology::INFERENCE.name, message).await
        });
        if published.len() >= BATCH
            && let Some(Ok(Err(BrokerError::Full(_)))) = published.join_next().await
        {
            return true;
        }
    }
    published.join_all().await.iter().any(|result| matches!(result, Err(BrokerError::Full(_))))
}
