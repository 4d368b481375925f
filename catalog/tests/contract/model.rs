//! Random histories of a tenant, compared with what the rules say about them.

use crate::support::{LEASE, Shared, at, hash, id, shown, tenant, v, work};
use catalog::{Build, CatalogError};
use proptest::{prelude::*, test_runner::TestRunner};
use protocol::{KnowledgeVersion, TenantId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Debug, Clone)]
enum Step {
    Begin,
    /// One of the builds that were ever begun, counted from the last; the documents it puts and removes.
    Publish(usize, BTreeSet<usize>, BTreeSet<usize>),
    Abort(usize),
    Rollback(u64),
    Prune(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let which = || prop_oneof![4 => Just(0_usize), 1 => 0..4_usize];
    let names = || proptest::collection::btree_set(0..NAMES.len(), 0..3);
    prop_oneof![
        6 => Just(Step::Begin),
        6 => (which(), names(), names()).prop_map(|(build, put, gone)| Step::Publish(build, put, gone)),
        1 => which().prop_map(Step::Abort),
        3 => (0..12_u64).prop_map(Step::Rollback),
        1 => (0..8_u64).prop_map(Step::Prune),
        1 => (0..90_000_u64).prop_map(Step::Wait),
    ]
}

/// A document's contents name the version that brought it.
type Documents = BTreeMap<&'static str, u64>;

#[derive(Default)]
struct Model {
    now: u64,
    latest: u64,
    served: u64,
    /// What is built, on what, until when.
    build: Option<(u64, u64, u64)>,
    kept: BTreeMap<u64, Documents>,
    begun: Vec<Build>,
}

type Outcome = Result<(), &'static str>;

impl Model {
    fn is_built(&self) -> bool {
        self.build.is_some_and(|(.., expires)| expires > self.now)
    }

    fn documents(&self, version: u64) -> Documents {
        self.kept.get(&version).cloned().unwrap_or_default()
    }

    fn begin(&mut self) -> Outcome {
        if self.is_built() {
            return Err("conflict");
        }
        self.latest += 1;
        self.build = Some((self.latest, self.served, self.now + LEASE.as_millis() as u64));
        Ok(())
    }

    fn publish(&mut self, build: &Build, put: &[&'static str], gone: &[&'static str]) -> Outcome {
        let (version, base) = (build.version.0, build.base.0);
        if self.served == version {
            return Ok(());
        }
        if self.build.is_none_or(|(built, ..)| built != version) {
            return Err("conflict");
        }
        let mut documents = self.documents(base);
        documents.retain(|name, _| !gone.contains(name));
        documents.extend(put.iter().map(|name| (*name, version)));
        self.kept.retain(|kept, _| *kept <= base);
        self.kept.insert(version, documents);
        (self.served, self.build) = (version, None);
        Ok(())
    }

    fn rollback(&mut self, to: u64) -> Outcome {
        if !self.kept.contains_key(&to) {
            return Err("missing");
        }
        if self.is_built() {
            return Err("conflict");
        }
        (self.served, self.build) = (to, None);
        Ok(())
    }

    fn prune(&mut self, oldest: u64) -> Outcome {
        if oldest > self.served {
            return Err("conflict");
        }
        self.kept.retain(|kept, _| *kept >= oldest);
        Ok(())
    }
}

fn outcome<T>(result: Result<T, CatalogError>) -> Outcome {
    match result {
        Ok(_) => Ok(()),
        Err(CatalogError::Conflict) => Err("conflict"),
        Err(CatalogError::Missing(_)) => Err("missing"),
        Err(error) => panic!("{error}"),
    }
}

async fn take(catalog: &Shared, tenant: &TenantId, model: &mut Model, step: &Step) {
    let now = at(model.now);
    let begun = |back: &usize| model.begun.iter().rev().nth(*back).cloned();
    match step {
        Step::Begin => {
            let build = catalog.begin_build(tenant, now, LEASE).await;
            assert_eq!(outcome(build.clone()), model.begin());
            if let Ok(build) = build {
                assert_eq!(
                    model.build.map(|(version, base, _)| (v(version), v(base))),
                    Some((build.version, build.base))
                );
                model.begun.push(build);
            }
        }
        Step::Publish(back, put, gone) => {
            let Some(build) = begun(back) else { return };
            let named = |set: &BTreeSet<usize>| set.iter().map(|n| NAMES[*n]).collect::<Vec<_>>();
            let contents = build.version.0.to_string();
            let put: Vec<_> = named(put).into_iter().map(|name| (name, contents.as_str())).collect();
            let work = work(&build, &put, &named(gone));
            let names: Vec<_> = put.iter().map(|(name, _)| *name).collect();
            let told = outcome(catalog.publish(tenant, &build, work, now).await);
            assert_eq!(told, model.publish(&build, &names, &named(gone)));
        }
        Step::Abort(back) => {
            let Some(build) = begun(back) else { return };
            catalog.abort_build(tenant, &build).await.unwrap();
            model.build = model.build.filter(|(version, ..)| *version != build.version.0);
        }
        Step::Rollback(to) => assert_eq!(outcome(catalog.rollback(tenant, v(*to), now).await), model.rollback(*to)),
        Step::Prune(oldest) => assert_eq!(outcome(catalog.prune(tenant, v(*oldest)).await), model.prune(*oldest)),
        Step::Wait(ms) => model.now += ms,
    }
}

async fn compare(catalog: &Shared, tenant: &TenantId, model: &Model) {
    assert_eq!(catalog.served(tenant).await.unwrap(), v(model.served));
    let kept = catalog.versions(tenant).await.unwrap();
    let numbers: Vec<KnowledgeVersion> = model.kept.keys().rev().copied().map(v).collect();
    assert_eq!(kept.iter().map(|info| info.version).collect::<Vec<_>>(), numbers);
    for (version, documents) in &model.kept {
        let expected: Vec<String> = documents.iter().map(|(name, added)| format!("{name} {added}")).collect();
        assert_eq!(shown(catalog, tenant, v(*version)).await, expected);
    }
    for (from, to) in model.kept.keys().zip(model.kept.keys().skip(1)).chain(model.kept.keys().map(|to| (&0, to))) {
        let (before, after) = (model.documents(*from), model.documents(*to));
        let change = catalog.changes(tenant, v(*from), v(*to)).await.unwrap();
        let put: Vec<_> = after.iter().filter(|(name, added)| before.get(*name) != Some(added)).collect();
        let gone: Vec<_> = before.iter().filter(|(name, added)| after.get(*name) != Some(added)).collect();
        let ids: Vec<_> = change.put.iter().map(|document| document.id.clone()).collect();
        assert_eq!(ids, put.iter().map(|(name, _)| id(name)).collect::<Vec<_>>());
        assert_eq!(change.removed, gone.iter().map(|(name, _)| id(name)).collect::<Vec<_>>());
    }
    let hashes: Vec<_> = (1..=model.latest).map(|version| hash(&version.to_string())).collect();
    let needed: BTreeSet<_> =
        model.kept.values().flat_map(BTreeMap::values).map(|added| hash(&added.to_string())).collect();
    assert_eq!(catalog.needed(tenant, &hashes).await.unwrap(), needed.into_iter().collect::<Vec<_>>());
}

pub async fn any_history_is_that_of_the_model(catalog: &Shared) {
    let config =
        ProptestConfig { cases: 48, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let histories = proptest::collection::vec(step(), 1..40);
    let (handle, count) = (tokio::runtime::Handle::current(), AtomicU32::new(0));
    let done = TestRunner::new(config).run(&histories, |steps| {
        let tenant = tenant(&format!("model-{}", count.fetch_add(1, Ordering::Relaxed)));
        tokio::task::block_in_place(|| handle.block_on(live(catalog, &tenant, &steps)));
        Ok(())
    });
    done.unwrap();
}

async fn live(catalog: &Shared, tenant: &TenantId, steps: &[Step]) {
    let mut model = Model::default();
    for step in steps {
        take(catalog, tenant, &mut model, step).await;
    }
    compare(catalog, tenant, &model).await;
}
