//! Whatever comes, goes, grows and is preempted: bounds hold, tokens are computed in order, and nothing leaks.

use super::*;
use proptest::prelude::*;
use protocol::{Priority, TenantId};
use std::collections::{BTreeMap, BTreeSet};

fn id(n: u64) -> SequenceId {
    SequenceId(n)
}

fn claim(tenant: u8, priority: Priority) -> Claim {
    Claim { tenant: TenantId::parse(format!("t{tenant}")).unwrap(), priority, weight: 1 }
}

fn scheduler(sequences: usize, batch_tokens: usize, blocks: usize) -> Scheduler {
    Scheduler::new(Limits { sequences, batch_tokens, waiting: 64, blocks })
}

fn prompt(len: usize) -> Vec<u32> {
    (0..len as u32).collect()
}

#[test]
fn decodes_go_before_prompts_and_prompts_are_cut_into_chunks() {
    let mut scheduler = scheduler(4, 8, 16);
    scheduler.add(id(1), claim(0, Priority::Interactive), prompt(3)).unwrap();
    assert!(scheduler.schedule().chunks[0].samples);
    scheduler.grow(id(1), 7);
    scheduler.add(id(2), claim(0, Priority::Interactive), prompt(20)).unwrap();
    let plan = scheduler.schedule();
    let decode = Chunk { id: id(1), start: 3, len: 1, samples: true };
    let prefill = Chunk { id: id(2), start: 0, len: 7, samples: false };
    assert_eq!(plan, Plan { started: vec![id(2)], chunks: vec![decode, prefill] });
}

#[test]
fn the_waiting_line_is_bounded() {
    let mut scheduler = Scheduler::new(Limits { sequences: 1, batch_tokens: 8, waiting: 2, blocks: 8 });
    let add = |scheduler: &mut Scheduler, n| scheduler.add(id(n), claim(0, Priority::Interactive), prompt(1));
    (1..=3).for_each(|n| add(&mut scheduler, n).unwrap());
    assert_eq!(add(&mut scheduler, 4), Err(Full));
    assert_eq!(scheduler.schedule().started, [id(1)]);
    assert_eq!(add(&mut scheduler, 4), Err(Full));
    scheduler.remove(id(1));
    assert_eq!(scheduler.schedule().started, [id(2)]);
}

#[test]
fn a_known_beginning_is_not_computed_again_except_by_another_tenant() {
    let mut scheduler = scheduler(1, 512, 32);
    let mut first_chunk = |n: u64, tenant: u8, tokens: Vec<u32>| {
        scheduler.add(id(n), claim(tenant, Priority::Interactive), tokens).unwrap();
        let start = scheduler.schedule().chunks[0].start;
        scheduler.remove(id(n));
        start
    };
    let long = prompt(3 * BLOCK);
    assert_eq!(first_chunk(1, 0, long.clone()), 0);
    // The last token has to be computed.
    assert_eq!(first_chunk(2, 0, long.clone()), 2 * BLOCK);
    assert_eq!(first_chunk(3, 0, prompt(3 * BLOCK + 1)), 3 * BLOCK);
    assert_eq!(first_chunk(4, 1, long), 0);
    let counts = scheduler.counts();
    assert_eq!((counts.prompt_tokens, counts.prefix_tokens), (12 * BLOCK as u64 + 1, 5 * BLOCK as u64));
}

#[test]
fn the_least_urgent_and_latest_gives_way_and_comes_back_with_what_it_said() {
    let mut scheduler = scheduler(4, 512, 4);
    scheduler.add(id(1), claim(0, Priority::Batch), prompt(BLOCK)).unwrap();
    scheduler.add(id(2), claim(1, Priority::Interactive), prompt(2 * BLOCK)).unwrap();
    assert_eq!(scheduler.schedule().started, [id(2), id(1)]);
    (1..=2).for_each(|n| scheduler.grow(id(n), 9));
    let chunks = scheduler.schedule().chunks;
    assert_eq!(chunks, [Chunk { id: id(2), start: 2 * BLOCK, len: 1, samples: true }]);
    assert_eq!((scheduler.waiting(), scheduler.counts().preemptions), (1, 1));
    scheduler.remove(id(2));
    let plan = scheduler.schedule();
    assert_eq!(plan.started, []);
    assert_eq!(plan.chunks, [Chunk { id: id(1), start: BLOCK, len: 1, samples: true }]);
}

#[derive(Debug, Clone)]
struct Arrival {
    step: usize,
    tenant: u8,
    priority: Priority,
    prompt: Vec<u32>,
    answer: usize,
    leaves: Option<usize>,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let priority = prop::sample::select(vec![Priority::Interactive, Priority::Retry, Priority::Batch]);
    let shape = (0usize..30, 0u8..3, priority, 1usize..4 * BLOCK, 1usize..70, prop::option::weighted(0.2, 0usize..40));
    let arrival = shape.prop_map(|(step, tenant, priority, len, answer, leaves)| {
        // Few different tokens, so that prompts have much in common.
        let prompt = (0..len as u32).map(|at| at / 48).collect();
        Arrival { step, tenant, priority, prompt, answer, leaves }
    });
    prop::collection::vec(arrival, 1..14)
}

/// What the cache holds, by block and slot: the token and all that stood before it.
type Cache = BTreeMap<(BlockId, usize), (u8, Vec<u32>)>;

/// Plays the runner's part: stores all that is computed, each place once, then reads all that came before.
fn compute(
    scheduler: &Scheduler,
    chunks: &[Chunk],
    arrivals: &[Arrival],
    cache: &mut Cache,
) -> Result<(), TestCaseError> {
    let held = |chunk: &Chunk, position: usize| {
        let (tokens, blocks) = scheduler.get(chunk.id).unwrap();
        let value = (arrivals[chunk.id.0 as usize].tenant, tokens[..=position].to_vec());
        ((blocks[position / BLOCK], position % BLOCK), value)
    };
    let mut written = BTreeSet::new();
    for chunk in chunks {
        for position in chunk.start..chunk.start + chunk.len {
            let (place, value) = held(chunk, position);
            prop_assert!(written.insert(place), "two write one place");
            cache.insert(place, value);
        }
    }
    for chunk in chunks {
        for position in 0..chunk.start {
            let (place, value) = held(chunk, position);
            prop_assert_eq!(cache.get(&place), Some(&value));
        }
        prop_assert_eq!(chunk.samples, chunk.start + chunk.len == scheduler.get(chunk.id).unwrap().0.len());
    }
    Ok(())
}

proptest! {
    #[test]
    fn everything_that_is_attended_to_is_there(
        arrivals in arrivals(), sequences in 1usize..6, batch_tokens in 6usize..90, spare in 0usize..8,
    ) {
        // The longest alone has room.
        let mut scheduler = scheduler(sequences, batch_tokens, 7 + spare);
        let (mut cache, mut left, mut started) = (Cache::new(), BTreeMap::new(), BTreeSet::new());
        for step in 0..6_000 {
            for (n, arrival) in arrivals.iter().enumerate() {
                let (id, tenant) = (id(n as u64), arrival.tenant);
                if arrival.step == step {
                    scheduler.add(id, claim(tenant, arrival.priority), arrival.prompt.clone()).unwrap();
                    left.insert(id, arrival.answer);
                }
                if arrival.leaves.is_some_and(|after| arrival.step + after == step) {
                    scheduler.remove(id);
                    left.remove(&id);
                }
            }
            let plan = scheduler.schedule();
            plan.started.iter().for_each(|id| assert!(started.insert(*id), "started twice"));
            prop_assert!(scheduler.running() <= sequences);
            prop_assert!(plan.chunks.iter().map(|chunk| chunk.len).sum::<usize>() <= batch_tokens);
            prop_assert!(left.is_empty() || !plan.chunks.is_empty(), "nothing moves");
            compute(&scheduler, &plan.chunks, &arrivals, &mut cache)?;
            for chunk in plan.chunks.iter().filter(|chunk| chunk.samples) {
                let answer = left.get_mut(&chunk.id).unwrap();
                *answer -= 1;
                if *answer == 0 {
                    scheduler.remove(chunk.id);
                    left.remove(&chunk.id);
                } else {
                    scheduler.grow(chunk.id, *answer as u32 % 5);
                }
            }
            if left.is_empty() && arrivals.iter().all(|arrival| arrival.step <= step) {
                prop_assert_eq!((scheduler.running(), scheduler.waiting(), scheduler.blocks_held()), (0, 0, 0));
                return Ok(());
            }
        }
        prop_assert!(false, "it does not come to an end");
    }
}
