//! The gate as sessions use it.

use super::{Claim, Entry, Gate, Ticket, Waiting};
use protocol::{ErrorCode, Priority, TenantId};
use runtime::clock::ManualClock;
use std::{sync::Arc, time::Duration};

fn gate(window: usize) -> (Arc<Gate>, ManualClock) {
    let clock = ManualClock::at(1_000);
    (Gate::new(window, 3, Arc::new(clock.clone())), clock)
}

fn claim(tenant: &str) -> Claim {
    let priority = Priority::Interactive;
    Claim { tenant: TenantId::parse(tenant).unwrap(), priority, weight: 1, cost: 1 }
}

fn now(gate: &Arc<Gate>, tenant: &str) -> Ticket {
    match gate.enter(claim(tenant)).unwrap() {
        Entry::Now(ticket) => ticket,
        Entry::Later(_) => panic!("there is room"),
    }
}

fn later(gate: &Arc<Gate>, tenant: &str) -> Waiting {
    match gate.enter(claim(tenant)).unwrap() {
        Entry::Later(waiting) => waiting,
        Entry::Now(_) => panic!("there is no room"),
    }
}

async fn ticket(waiting: Waiting) -> Ticket {
    tokio::time::timeout(Duration::from_secs(2), waiting.ticket()).await.expect("its turn must come").unwrap()
}

#[tokio::test]
async fn a_place_is_free_when_a_job_starts_or_is_given_up() {
    let (gate, _) = gate(2);
    let (mut first, second) = (now(&gate, "a"), now(&gate, "a"));
    let [third, fourth, fifth] = ["a", "a", "b"].map(|tenant| later(&gate, tenant));
    first.started();
    first.started();
    let mut third = ticket(third).await;
    drop(second);
    let fifth = ticket(fifth).await;
    third.started();
    let fourth = ticket(fourth).await;
    drop((first, third, fourth, fifth));
    let state = gate.lock();
    assert_eq!((state.window.size(), state.line.len()), (3, 0), "one started at once while others waited");
}

#[tokio::test]
async fn who_leaves_the_line_takes_nobody_s_place() {
    let (gate, _) = gate(1);
    let first = now(&gate, "a");
    let [second, third, fourth] = ["a", "a", "a"].map(|tenant| later(&gate, tenant));
    let full = gate.enter(claim("a")).err().unwrap();
    assert!(full.code == ErrorCode::Overloaded && full.message.contains("3 jobs"), "{full}");
    drop(second);
    drop(first);
    // The third has its ticket now, and leaves without having looked.
    drop(third);
    drop(ticket(fourth).await);
    now(&gate, "a");
}

#[tokio::test]
async fn workers_that_never_begin_hold_up_nobody_beyond_their_jobs_time() {
    let (gate, _) = gate(2);
    let held = [now(&gate, "dead"), now(&gate, "dead")];
    let others: Vec<Waiting> = ["dead", "dead", "dead", "other"].map(|tenant| later(&gate, tenant)).into();
    let served = others.into_iter().map(|waiting| tokio::spawn(async move { drop(ticket(waiting).await) }));
    let served: Vec<_> = served.collect();
    drop(held);
    for served in served {
        served.await.unwrap();
    }
}

#[tokio::test]
async fn the_wait_is_known_from_the_last_jobs_and_from_who_waits_now() {
    let (gate, clock) = gate(1);
    let tenant = TenantId::parse("a").unwrap();
    let expected = || gate.expected_wait_ms(&tenant);
    assert_eq!(expected(), 0);
    let mut first = now(&gate, "a");
    let second = later(&gate, "a");
    clock.advance(4_000);
    assert_eq!(expected(), 4_000, "somebody waits as long already");
    first.started();
    assert_eq!(expected(), 4_000);
    let mut second = ticket(second).await;
    clock.advance(4_000);
    second.started();
    assert_eq!(expected(), 5_000, "8 s count a quarter");
    clock.advance(10_001);
    assert_eq!((expected(), gate.expected_wait_ms(&TenantId::parse("b").unwrap())), (0, 0));
}
