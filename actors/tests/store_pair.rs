//! The same calls in random order on the store in memory, which follows the rules of [`actors::store::Record`], and on Redis:
//! both answer alike.

#![expect(clippy::unwrap_used, reason = "tests")]

use actors::{
    Config,
    store::{Claim, Fence, Member, SessionKey, SessionStore, connect},
};
use bytes::Bytes;
use protocol::{JobId, NodeId, SessionId, TenantId};
use runtime::{Random, clock::System, testing::Redis};
use std::{sync::Arc, time::Duration};

const RUNS: u64 = 60;
const CALLS: usize = 80;

/// Numbers that a seed decides (xorshift, <https://www.jstatsoft.org/article/view/v008i14>).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

async fn open(store: &str) -> Arc<dyn SessionStore> {
    let config = Config { store: store.into(), retention_ms: 600_000, max_stored: 1000, ..Config::default() };
    connect(&config, Arc::new(System), Duration::from_secs(5)).await.unwrap()
}

/// Who calls, with the rights and counts that were true once.
struct Callers {
    members: [Member; 3],
    fences: Vec<Fence>,
    writes: u64,
}

/// One random call, and what came of it in words.
async fn call(store: &dyn SessionStore, key: &SessionKey, dice: &mut Dice, callers: &mut Callers) -> String {
    let turn = JobId::parse(format!("t{}", dice.below(3))).unwrap();
    let text = Bytes::from(format!("{}", dice.below(1000)));
    let member = callers.members[dice.below(3) as usize].clone();
    let other = callers.members.get(dice.below(4) as usize).cloned();
    let (kind, back, from) = (dice.below(20), dice.below(4) as usize, dice.below(4) as usize);
    let fence = callers.fences.iter().rev().nth(back).or(callers.fences.last()).cloned();
    let fence = fence.unwrap_or(Fence { by: member.clone(), epoch: 0 });
    match kind {
        0 => format!("create {:?}", store.create(key, text).await),
        1 => format!("delete {:?}", store.delete(key).await),
        2 => format!("release {:?}", store.release(key, &fence).await),
        3..6 => {
            let claimed = store.claim(key, &member, other.as_ref()).await;
            if let Ok(Some(Claim::Owned(record))) = &claimed {
                callers.fences.push(Fence { by: member, epoch: record.version.epoch });
                callers.writes = record.version.write;
            }
            format!("claim {claimed:?}")
        }
        6..10 => format!("accept {:?}", store.accept(key, &fence, &turn, text).await),
        10..14 => format!("show {from} {:?}", store.show(key, &fence, &turn, from, &[text.clone(), text]).await),
        14..17 => {
            let write = callers.writes - u64::from(back == 3 && callers.writes > 0);
            let saved = store.save(key, &fence, write, text, &turn).await;
            callers.writes += u64::from(saved.is_ok());
            format!("save {saved:?}")
        }
        17 => format!("close {:?}", store.close(key, &fence, &turn).await),
        _ => {
            let mut loaded = store.load(key).await.unwrap();
            loaded.iter_mut().for_each(|stored| stored.open.sort());
            format!("load {loaded:?}")
        }
    }
}

async fn run(store: &dyn SessionStore, seed: u64) -> Vec<String> {
    let key = SessionKey::new(&TenantId::parse("t").unwrap(), &SessionId::parse(format!("s{seed}")).unwrap());
    let member = |name: &str| Member::new(NodeId::parse(name).unwrap());
    let mut callers = Callers { members: ["a", "b", "c"].map(member), fences: Vec::new(), writes: 0 };
    let mut dice = Dice(seed | 1);
    store.create(&key, Bytes::from_static(b"new")).await.unwrap();
    let mut said = Vec::new();
    for _ in 0..CALLS {
        said.push(call(store, &key, &mut dice, &mut callers).await);
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_answer_alike() {
    let server = Redis::start();
    let (memory, redis) = (open("memory:").await, open(&server.url()).await);
    let (mut done, mut refused) = (0, 0);
    for _ in 0..RUNS {
        let seed = System.seed();
        let (here, there) = (run(&*memory, seed).await, run(&*redis, seed).await);
        for (at, (one, two)) in here.iter().zip(&there).enumerate() {
            assert_eq!(one, two, "call {at} with the seed {seed}, after {:#?}", &here[..at]);
            refused += usize::from(one.contains("Conflict"));
            done += usize::from(one.contains("Ok"));
        }
    }
    eprintln!("{done} calls done alike, {refused} refused alike");
    assert!(done > 1000 && refused > 300, "{done} done, {refused} refused");
}
