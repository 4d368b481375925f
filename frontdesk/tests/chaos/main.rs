//! Faults on real servers: what the system promises holds while its parts are killed, halted, cut off and overwhelmed.
//!
//! `FRONTDESK_CHAOS_SECONDS` and `FRONTDESK_CHAOS_SEED` decide how long and how; `make chaos` runs it for long.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checker;
mod cluster;
mod customers;
mod faults;
#[expect(dead_code, reason = "the other suite uses all of it")]
#[path = "../system/harness.rs"]
mod harness;
mod meddle;
mod record;
mod report;
mod run;
mod talk;
mod watch;

use checker::{Promise, check};
use faults::PROCESSES;
use record::Source;
use run::{Outcome, Plan, run};
use std::time::Duration;

/// Of the short run.
const SEED: u64 = 1;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} = {value:?}: not a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_holds() {
    let seconds = setting("FRONTDESK_CHAOS_SECONDS");
    let seed = setting("FRONTDESK_CHAOS_SEED").unwrap_or(SEED);
    // A short run has two gateways, for a machine of two cores.
    let gateways = if seconds.is_some() { 3 } else { 2 };
    let faults = PROCESSES.to_vec();
    let time = Duration::from_secs(seconds.unwrap_or_default());
    let outcome = run(Plan { seed, time, gateways, faults }).await;
    assert_eq!(outcome.violations.len(), 0, "the promises hold");
    a_planted_violation_is_found(outcome).await;
}

/// Somebody else sets a session back to its first exchange.
async fn a_planted_violation_is_found(Outcome { cluster, shop, .. }: Outcome) {
    let victim = {
        let mut book = shop.book.lock().unwrap();
        let place = book.iter().position(|talk| talk.last(Source::Store).is_some_and(|read| read.exchanges.len() > 1));
        book.swap_remove(place.unwrap())
    };
    let client = redis::Client::open(cluster.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let key = watch::key(&victim.tenant, &victim.session);
    let state: Vec<u8> = redis::cmd("HGET").arg(&key).arg("s").query_async(&mut connection).await.unwrap();
    let mut state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    state["session"]["messages"].as_array_mut().unwrap().truncate(2);
    let set = redis::cmd("HSET").arg(&key).arg("s").arg(state.to_string()).exec_async(&mut connection).await;
    set.unwrap();
    let mut seen = victim.clone();
    seen.reads.push(watch::stored(&mut connection, &victim.tenant, &victim.session).await.unwrap());
    assert_eq!(check(&[victim]), []);
    let found: Vec<_> = check(&[seen]).into_iter().map(|violation| violation.promise).collect();
    assert!(found.contains(&Promise::NoStaleWrite) && found.contains(&Promise::NothingLost), "{found:?}");
}
