//! The servers and the processes of a run. Every process has doors of its own to the servers.

use crate::harness::{Frontdesk, System};
use runtime::testing::{Proxy, RabbitMq, Redis, free_port};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// After this time without a renewal another gateway may take a session over.
pub const LEASE: Duration = Duration::from_millis(2_000);
const STOP: Duration = Duration::from_secs(20);
const SETTINGS: &[&str] = &[
    "inference.engine=echo:?delay_ms=10",
    "inference.coalesce_ms=50",
    "inference.affinity_ttl_ms=500",
    "inference.drain_ms=1000",
    "retrieval.embedder=hashing:",
    "retrieval.drain_ms=1000",
    // Whoever leaves is answered all the same.
    "session.abandon_grace_ms=120000",
    "session.turn_deadline_ms=120000",
    "session.stall_ms=4000",
    // Answers without the model or retrieval are told apart, but say little: they are to be few.
    "session.retrieval_deadline_ms=8000",
    "session.first_token_deadline_ms=20000",
    "session.breaker_open_ms=0",
    "gateway.keep_alive_ms=200",
    "gateway.drain_ms=3000",
    // How long a message waits for a broker that is away.
    "broker.connect_timeout_ms=60000",
    "telemetry.log=info",
];

/// Ways to the servers that can be cut.
pub struct Doors {
    /// Whose they are.
    pub role: &'static str,
    pub broker: Proxy,
    pub store: Proxy,
}

/// A process that is killed and started again.
pub struct Part {
    role: &'static str,
    port: u16,
    args: Vec<String>,
    pub doors: Arc<Doors>,
    pub running: Option<Frontdesk>,
}

/// The whole system.
pub struct Cluster {
    pub rabbit: RabbitMq,
    pub redis: Redis,
    pub gateways: Vec<Part>,
    pub gpu: Vec<Part>,
    pub retrieval: Vec<Part>,
    pub system: System,
}

impl Cluster {
    /// Starts everything; `gateways`: how many.
    pub fn start(handle: &Handle, gateways: usize) -> Self {
        let (rabbit, redis) = (RabbitMq::start_traced(), Redis::start_durable());
        let mut args = Vec::new();
        SETTINGS.iter().for_each(|setting| args.extend(["--set", setting]));
        let lease = format!("session.lease_ms={}", LEASE.as_millis());
        args.extend(["--set", &lease]);
        let system = System::new(&args);
        let part = |role: &'static str, n: usize| Part::new(role, n, &system, &rabbit, &redis);
        let parts = |role, count| (0..count).map(|n| part(role, n)).collect::<Vec<_>>();
        let [gateways, gpu, retrieval] =
            [parts("gateway", gateways), parts("worker-gpu", 2), parts("worker-retrieval", 2)];
        let mut cluster = Self { rabbit, redis, gateways, gpu, retrieval, system };
        cluster.ready(handle);
        cluster
    }

    /// Starts what does not run, and waits until all of it is ready.
    pub fn ready(&mut self, handle: &Handle) {
        let Self { gateways, gpu, retrieval, system, .. } = self;
        let absent: Vec<_> =
            gateways.iter_mut().chain(gpu).chain(retrieval).filter(|part| part.running.is_none()).collect();
        let started: Vec<_> = absent.into_iter().map(|part| (part.begin(system), part)).collect();
        for (frontdesk, part) in started {
            part.running = Some(handle.block_on(frontdesk.ready()));
        }
    }

    /// Every part.
    pub fn parts(&mut self) -> impl Iterator<Item = &mut Part> {
        self.gateways.iter_mut().chain(&mut self.gpu).chain(&mut self.retrieval)
    }

    /// What a part has said that ended by itself.
    pub fn crashed(&mut self) -> Option<String> {
        self.parts().find_map(|part| {
            let running = part.running.as_mut()?;
            let status = running.process.exited()?;
            Some(format!("{} ended with {status}:\n{}", part.role, running.process.log()))
        })
    }

    /// The gateways' URLs.
    pub fn urls(&self) -> Vec<String> {
        self.gateways.iter().map(|part| format!("http://127.0.0.1:{}", part.port)).collect()
    }
}

impl Part {
    fn new(role: &'static str, number: usize, system: &System, rabbit: &RabbitMq, redis: &Redis) -> Self {
        let doors = Doors { role, broker: Proxy::start(rabbit.port()), store: Proxy::start(redis.port()) };
        let index = system.dir.path().join(format!("index-{number}"));
        let settings = [
            format!("broker.url=amqp://guest:guest@127.0.0.1:{}/%2f", doors.broker.port()),
            format!("session.store=redis://127.0.0.1:{}", doors.store.port()),
            format!("retrieval.index=embedded:{}", index.display()),
        ];
        let args = settings.into_iter().flat_map(|setting| ["--set".into(), setting]).collect();
        Self { role, port: free_port(), args, doors: Arc::new(doors), running: None }
    }

    fn begin(&self, system: &System) -> Frontdesk {
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        system.start_on(self.port, self.role, &args)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.process.stop(STOP);
        }
    }
}
