//! Many tenants, one engine, simulated time: what a tenant that asks for a hundred times its share does to the others.
//!
//! The engine is a queue in the order of arrival with as many slots as are said behind it, as workers have that take jobs as they get
//! free; a worker's own choice among the jobs that it holds ready is left out. The window and the line are the gate's own.

use super::{
    Claim,
    line::{Line, Place},
    window::Window,
};
use protocol::{Priority, TenantId, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

const TENANTS: usize = 8;
/// Answers take 1 to 3 s.
const SERVICE_MS: (u64, u64) = (1_000, 3_000);
/// How much of the engine all tenants ask for together when each asks for its share.
const LOAD: f64 = 0.8;
/// From a node to a worker, and back.
const WAY_MS: u64 = 3;
const MINUTES: u64 = 4;
const TENANT_WAITING: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    Queued(usize),
    Begun(usize),
    Ends(usize),
}

struct Job {
    tenant: usize,
    arrived: u64,
    passed: u64,
    service: u64,
}

/// One run, with a gate of this least window (0: none).
struct Simulation {
    rates: [f64; TENANTS],
    line: Line<usize>,
    window: Window,
    queue: VecDeque<usize>,
    free: usize,
    jobs: Vec<Job>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    chance: u64,
    /// Milliseconds until the start and until the end, by tenant.
    starts: [Vec<u64>; TENANTS],
    ends: [Vec<u64>; TENANTS],
    refused: usize,
}

impl Simulation {
    fn run(slots: usize, window: usize, times: f64) -> Self {
        let share = LOAD * slots as f64 / (SERVICE_MS.0 + SERVICE_MS.1) as f64 * 2_000.0 / TENANTS as f64;
        let mut rates = [share; TENANTS];
        rates[0] *= times;
        let mut it = Self {
            rates,
            line: Line::new(TENANT_WAITING),
            window: Window::new(window),
            queue: VecDeque::new(),
            free: slots,
            jobs: Vec::new(),
            events: BinaryHeap::new(),
            count: 0,
            chance: 12_345,
            starts: Default::default(),
            ends: Default::default(),
            refused: 0,
        };
        (0..TENANTS).for_each(|tenant| it.at(0, Event::Arrives(tenant)));
        while let Some(Reverse((now, _, event))) = it.events.pop() {
            if now > MINUTES * 60_000 {
                break;
            }
            it.happens(event, now);
        }
        it
    }

    fn at(&mut self, when: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((when, self.count, event)));
    }

    /// A number from 0 to 1 (SplitMix64).
    fn draw(&mut self) -> f64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn happens(&mut self, event: Event, now: u64) {
        match event {
            Event::Arrives(tenant) => {
                let pause = -(1.0 - self.draw()).ln() / self.rates[tenant] * 1_000.0;
                self.at(now + pause as u64, Event::Arrives(tenant));
                let service = SERVICE_MS.0 + (self.draw() * (SERVICE_MS.1 - SERVICE_MS.0) as f64) as u64;
                self.jobs.push(Job { tenant, arrived: now, passed: now, service });
                let (tenant, priority) = (TenantId::parse(format!("t{tenant}")).unwrap(), Priority::Interactive);
                let claim = Claim { tenant, priority, weight: 1, cost: 1 };
                self.refused += usize::from(self.line.push(claim, Timestamp(now), self.jobs.len() - 1).is_none());
            }
            Event::Queued(job) => self.queue.push_back(job),
            Event::Begun(job) => {
                let others_wait = self.line.len() > 0;
                self.window.start(now - self.jobs[job].passed, others_wait);
            }
            Event::Ends(job) => {
                self.free += 1;
                self.window.leave(true);
                let Job { tenant, arrived, .. } = self.jobs[job];
                self.ends[tenant].push(now - arrived);
            }
        }
        self.pump(now);
    }

    fn pump(&mut self, now: u64) {
        while self.window.has_room() {
            let Some(Place { item: job, .. }) = self.line.pop() else { break };
            self.window.pass();
            self.jobs[job].passed = now;
            self.at(now + WAY_MS, Event::Queued(job));
        }
        while self.free > 0 {
            let Some(job) = self.queue.pop_front() else { break };
            self.free -= 1;
            let Job { tenant, arrived, service, .. } = self.jobs[job];
            self.starts[tenant].push(now - arrived);
            self.at(now + WAY_MS, Event::Begun(job));
            self.at(now + WAY_MS + service, Event::Ends(job));
        }
    }

    /// Of all tenants but the first: p95 until the start and until the end.
    fn p95(&self) -> [u64; 2] {
        [&self.starts, &self.ends].map(|times| {
            let mut others: Vec<u64> = times[1..].iter().flatten().copied().collect();
            others.sort_unstable();
            others[others.len() * 95 / 100]
        })
    }

    fn answers(&self) -> usize {
        self.ends.iter().map(Vec::len).sum()
    }
}

/// The others' p95 until the end, flooded in relation to calm, and the answers that were given while flooded.
fn flood(slots: usize, window: usize) -> (f64, usize) {
    let [calm, flooded] = [1.0, 100.0].map(|times| Simulation::run(slots, window, times));
    let ([start, end], [start_100, end_100]) = (calm.p95(), flooded.p95());
    let (ratio, answers) = (end_100 as f64 / end as f64, flooded.answers());
    println!(
        "{slots} slots, window {window}: p95 to the start {start} -> {start_100} ms, to the end {end} -> {end_100} ms \
         ({:+.1} %), {answers} answers, {} refused",
        100.0 * (ratio - 1.0),
        flooded.refused,
    );
    (ratio, answers)
}

/// With few slots one is free seldom, so that the rest of a running answer weighs more: 16 are for the comparison.
#[test]
fn a_tenant_at_a_hundred_times_its_share_hardly_moves_the_others() {
    flood(16, 4);
    let ((fair, answers), (larger, _)) = (flood(64, 4), flood(256, 4));
    assert!(fair < 1.2 && larger < 1.2, "{fair} {larger}");
    let (unfair, most) = flood(64, 0);
    assert!(unfair > 10.0, "{unfair}: without a gate the others would drown");
    assert!(answers as f64 > 0.99 * most as f64, "{answers} of {most}: fairness costs no answers");
}
