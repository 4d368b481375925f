//! Who may build, and for how long.

use crate::support::{LEASE, Shared, at, conflict, entry, publish, shown, tenant, v, work};
use catalog::{Build, CatalogError};

pub async fn one_build_runs_at_a_time(catalog: &Shared) {
    let tenant = tenant("single");
    let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    assert_eq!(build, Build { version: v(1), base: v(0) });
    assert!(conflict(catalog.begin_build(&tenant, at(59_999), LEASE).await));
    catalog.abort_build(&tenant, &build).await.unwrap();
    catalog.abort_build(&tenant, &build).await.unwrap();
    let next = catalog.begin_build(&tenant, at(1), LEASE).await.unwrap();
    catalog.abort_build(&tenant, &build).await.unwrap();
    assert!(conflict(catalog.begin_build(&tenant, at(2), LEASE).await), "another's abort ends no build");
    catalog.publish(&tenant, &next, work(&next, &[], &[]), at(3)).await.unwrap();
    catalog.begin_build(&tenant, at(4), LEASE).await.unwrap();
}

pub async fn a_crashed_build_ends_with_its_lease(catalog: &Shared) {
    let tenant = tenant("crashed");
    let dead = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    let next = catalog.begin_build(&tenant, at(60_000), LEASE).await.unwrap();
    assert_eq!((next.version, next.base), (v(2), v(0)));
    assert!(conflict(catalog.publish(&tenant, &dead, work(&dead, &[("a", "dead")], &[]), at(60_001)).await));
    assert!(conflict(catalog.renew_build(&tenant, &dead, at(60_001), LEASE).await));
    catalog.publish(&tenant, &next, work(&next, &[("a", "alive")], &[]), at(60_002)).await.unwrap();
    assert!(conflict(catalog.publish(&tenant, &dead, work(&dead, &[("a", "dead")], &[]), at(60_003)).await));
    assert_eq!(shown(catalog, &tenant, v(2)).await, ["a alive"]);
}

pub async fn a_renewed_build_goes_on(catalog: &Shared) {
    let tenant = tenant("renewed");
    let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    catalog.renew_build(&tenant, &build, at(50_000), LEASE).await.unwrap();
    assert!(conflict(catalog.begin_build(&tenant, at(100_000), LEASE).await));
    catalog.renew_build(&tenant, &build, at(200_000), LEASE).await.expect("nobody else has begun");
    assert!(conflict(catalog.begin_build(&tenant, at(200_001), LEASE).await));
    catalog.publish(&tenant, &build, work(&build, &[], &[]), at(200_002)).await.unwrap();
}

pub async fn numbers_are_never_used_again(catalog: &Shared) {
    let tenant = tenant("numbers");
    for expected in 1..5 {
        let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
        assert_eq!(build, Build { version: v(expected), base: v(0) });
        catalog.abort_build(&tenant, &build).await.unwrap();
    }
    assert_eq!(publish(catalog, &tenant, &[("a", "1")], &[]).await, v(5));
    assert_eq!(publish(catalog, &tenant, &[("a", "2")], &[]).await, v(6));
    catalog.rollback(&tenant, v(5), at(1)).await.unwrap();
    assert_eq!(publish(catalog, &tenant, &[], &[]).await, v(7));
    assert_eq!(shown(catalog, &tenant, v(7)).await, ["a 1"]);
}

pub async fn of_two_builders_one_publishes(catalog: &Shared) {
    let tenant = tenant("two");
    let begun = (0..6).map(|_| {
        let (catalog, tenant) = (catalog.clone(), tenant.clone());
        tokio::spawn(async move { catalog.begin_build(&tenant, at(0), LEASE).await })
    });
    let mut builds = Vec::new();
    for task in begun.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(build) => builds.push(build),
            Err(error) => assert_eq!(error, CatalogError::Conflict),
        }
    }
    assert_eq!(builds.len(), 1, "{builds:?}");
    // One whose lease is over, and the one that took its place.
    let late = builds.remove(0);
    let next = catalog.begin_build(&tenant, at(60_000), LEASE).await.unwrap();
    let publish = |build: Build, name: &'static str| {
        let (catalog, tenant) = (catalog.clone(), tenant.clone());
        let work = work(&build, &[(name, name)], &[]);
        tokio::spawn(async move { catalog.publish(&tenant, &build, work, at(60_001)).await })
    };
    let (first, second) = (publish(late, "late"), publish(next.clone(), "next"));
    assert!(conflict(first.await.unwrap()));
    second.await.unwrap().unwrap();
    assert_eq!(shown(catalog, &tenant, next.version).await, ["next next"]);
    assert_eq!(catalog.versions(&tenant).await.unwrap().len(), 1);
}

pub async fn nobody_rolls_back_under_a_build(catalog: &Shared) {
    let tenant = tenant("under");
    let one = publish(catalog, &tenant, &[("a", "1")], &[]).await;
    publish(catalog, &tenant, &[("a", "2")], &[]).await;
    let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    assert!(conflict(catalog.rollback(&tenant, one, at(1)).await));
    catalog.publish(&tenant, &build, work(&build, &[], &[]), at(2)).await.unwrap();
    catalog.rollback(&tenant, one, at(3)).await.unwrap();
}

pub async fn a_build_is_not_published_on_another_base(catalog: &Shared) {
    let tenant = tenant("base");
    let one = publish(catalog, &tenant, &[("a", "1")], &[]).await;
    publish(catalog, &tenant, &[("a", "2")], &[]).await;
    let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    catalog.rollback(&tenant, one, at(60_000)).await.expect("the build's lease is over");
    assert!(conflict(catalog.renew_build(&tenant, &build, at(60_001), LEASE).await));
    assert!(conflict(catalog.publish(&tenant, &build, work(&build, &[("a", "3")], &[]), at(60_001)).await));
    assert_eq!(shown(catalog, &tenant, catalog.served(&tenant).await.unwrap()).await, ["a 1"]);
}

pub async fn a_published_build_may_be_published_again(catalog: &Shared) {
    let tenant = tenant("again");
    let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    for _ in 0..2 {
        catalog.publish(&tenant, &build, work(&build, &[("a", "1")], &[]), at(1)).await.unwrap();
    }
    assert_eq!(shown(catalog, &tenant, build.version).await, ["a 1"]);
    publish(catalog, &tenant, &[], &[]).await;
    assert!(conflict(catalog.publish(&tenant, &build, work(&build, &[("a", "1")], &[]), at(1)).await));
}

pub async fn a_build_that_contradicts_itself_changes_nothing(catalog: &Shared) {
    let tenant = tenant("contradicts");
    let one = publish(catalog, &tenant, &[("a", "1")], &[]).await;
    let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    let twice = work(&build, &[("b", "1"), ("b", "2")], &["a"]);
    let mut foreign = work(&build, &[("b", "1")], &["a"]);
    foreign.faq = vec![entry("a", 0, "whose?")];
    let mut uneven = work(&build, &[("b", "1")], &["a"]);
    uneven.faq = vec![entry("b", 0, "how long?")];
    uneven.faq[0].vectors[1].pop();
    let mut unknown = work(&build, &[("b", "1")], &["a"]);
    unknown.ingest = Some(crate::support::ingest("unknown"));
    for work in [twice, foreign, uneven, unknown] {
        catalog.publish(&tenant, &build, work, at(1)).await.unwrap_err();
        assert_eq!(catalog.served(&tenant).await.unwrap(), one);
        assert_eq!(shown(catalog, &tenant, one).await, ["a 1"]);
    }
    catalog.publish(&tenant, &build, work(&build, &[("b", "1")], &["a"]), at(2)).await.expect("the build still runs");
}
