//! What is part of which version.

use crate::support::{
    LEASE, Shared, at, conflict, entry, hash, id, ingest, missing, publish, shown, staged, tenant, v, work,
};

pub async fn nothing_is_served_at_first(catalog: &Shared) {
    let tenant = tenant("new");
    assert_eq!(catalog.served(&tenant).await.unwrap(), v(0));
    assert!(catalog.documents(&tenant, v(0)).await.unwrap().is_empty());
    assert!(catalog.faq(&tenant, v(0)).await.unwrap().is_empty());
    assert!(catalog.versions(&tenant).await.unwrap().is_empty());
    assert!(missing(catalog.documents(&tenant, v(1)).await));
    assert!(missing(catalog.rollback(&tenant, v(0), at(1)).await));
    assert!(!catalog.tenants().await.unwrap().contains(&tenant));
}

pub async fn a_version_shows_its_own_documents(catalog: &Shared) {
    let tenant = tenant("shows");
    let one = publish(catalog, &tenant, &[("b", "old"), ("a", "x"), ("c", "z")], &[]).await;
    let two = publish(catalog, &tenant, &[("b", "new"), ("d", "y")], &["b", "c", "unknown"]).await;
    assert_eq!(catalog.served(&tenant).await.unwrap(), two);
    assert_eq!(shown(catalog, &tenant, one).await, ["a x", "b old", "c z"]);
    assert_eq!(shown(catalog, &tenant, two).await, ["a x", "b new", "d y"]);
    let documents = catalog.documents(&tenant, two).await.unwrap();
    assert_eq!(documents[1], staged("b", "new").document(two));
    assert_eq!(documents[0], staged("a", "x").document(one));
    assert_eq!(catalog.document(&tenant, one, &id("b")).await.unwrap().unwrap(), staged("b", "old").document(one));
    assert_eq!(catalog.document(&tenant, two, &id("c")).await.unwrap(), None);
    let versions = catalog.versions(&tenant).await.unwrap();
    let told: Vec<_> = versions.iter().map(|info| (info.version, info.base, info.documents, info.passages)).collect();
    assert_eq!(told, [(two, one, 3, 6), (one, v(0), 3, 6)]);
    assert!(versions[0].served && !versions[1].served && versions[0].published == at(1500));
    assert_eq!(versions[0].embedder, "hashing:8");
    assert!(catalog.tenants().await.unwrap().contains(&tenant));
}

pub async fn changes_lead_from_one_version_to_another(catalog: &Shared) {
    let tenant = tenant("changes");
    let one = publish(catalog, &tenant, &[("a", "1"), ("b", "1"), ("c", "1")], &[]).await;
    let two = publish(catalog, &tenant, &[("b", "2"), ("d", "2")], &[]).await;
    let three = publish(catalog, &tenant, &[("b", "3")], &["c", "d"]).await;
    let ids = |change: &catalog::Change| -> (Vec<String>, Vec<String>) {
        let put = change.put.iter().map(|document| document.id.to_string()).collect();
        (put, change.removed.iter().map(ToString::to_string).collect())
    };
    let strings = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = catalog.changes(&tenant, v(0), three).await.unwrap();
    assert_eq!(ids(&all), (strings(&["a", "b"]), strings(&[])));
    let far = catalog.changes(&tenant, one, three).await.unwrap();
    assert_eq!(ids(&far), (strings(&["b"]), strings(&["b", "c"])));
    assert_eq!(far.put[0], staged("b", "3").document(three));
    let near = catalog.changes(&tenant, two, three).await.unwrap();
    assert_eq!(ids(&near), (strings(&["b"]), strings(&["b", "c", "d"])));
    assert_eq!(catalog.changes(&tenant, two, two).await.unwrap(), catalog::Change::default());
    assert!(missing(catalog.changes(&tenant, one, v(9)).await) && missing(catalog.changes(&tenant, v(9), three).await));
}

pub async fn curated_answers_go_with_their_documents(catalog: &Shared) {
    let tenant = tenant("curated");
    let build = catalog.begin_build(&tenant, at(1), LEASE).await.unwrap();
    let mut first = work(&build, &[("a", "1"), ("b", "1")], &[]);
    first.faq = vec![entry("b", 1, "二"), entry("b", 0, "one"), entry("a", 0, "eins")];
    first.faq[2].vectors.clear();
    catalog.publish(&tenant, &build, first.clone(), at(2)).await.unwrap();
    let kept = catalog.faq(&tenant, build.version).await.unwrap();
    assert_eq!(kept, [first.faq[2].clone(), first.faq[1].clone(), first.faq[0].clone()]);
    let two = publish(catalog, &tenant, &[("b", "2")], &[]).await;
    assert_eq!(catalog.faq(&tenant, two).await.unwrap(), [first.faq[2].clone()]);
    assert_eq!(catalog.faq(&tenant, build.version).await.unwrap().len(), 3);
    assert!(missing(catalog.faq(&tenant, v(9)).await));
}

pub async fn what_a_rolled_back_version_brought_vanishes(catalog: &Shared) {
    let tenant = tenant("rolled");
    let one = publish(catalog, &tenant, &[("a", "1"), ("b", "1")], &[]).await;
    let two = publish(catalog, &tenant, &[("a", "2"), ("c", "2")], &["b"]).await;
    catalog.rollback(&tenant, one, at(5)).await.unwrap();
    assert_eq!(catalog.served(&tenant).await.unwrap(), one);
    assert_eq!(shown(catalog, &tenant, two).await, ["a 2", "c 2"], "it is still kept");
    let three = publish(catalog, &tenant, &[("d", "3")], &[]).await;
    assert_eq!(shown(catalog, &tenant, three).await, ["a 1", "b 1", "d 3"]);
    assert_eq!(shown(catalog, &tenant, one).await, ["a 1", "b 1"]);
    assert!(missing(catalog.documents(&tenant, two).await) && missing(catalog.rollback(&tenant, two, at(6)).await));
    let versions = catalog.versions(&tenant).await.unwrap();
    assert_eq!(versions.iter().map(|info| (info.version, info.base)).collect::<Vec<_>>(), [(three, one), (one, v(0))]);
    let needed = catalog.needed(&tenant, &[hash("1"), hash("2"), hash("3")]).await.unwrap();
    assert_eq!(needed.len(), 2, "{needed:?}");
    let dropped = catalog.prune(&tenant, three).await.unwrap();
    assert!(dropped.contains(&hash("2")), "{dropped:?}");
}

pub async fn a_later_version_can_be_served_again_until_another_build(catalog: &Shared) {
    let tenant = tenant("forth");
    let one = publish(catalog, &tenant, &[("a", "1")], &[]).await;
    let two = publish(catalog, &tenant, &[("a", "2")], &[]).await;
    catalog.rollback(&tenant, one, at(5)).await.unwrap();
    catalog.rollback(&tenant, two, at(6)).await.unwrap();
    let three = publish(catalog, &tenant, &[], &[]).await;
    assert_eq!(shown(catalog, &tenant, three).await, ["a 2"]);
    assert_eq!(shown(catalog, &tenant, one).await, ["a 1"]);
}

pub async fn tenants_are_apart(catalog: &Shared) {
    let (here, there) = (tenant("Apart"), tenant("apart"));
    let one = publish(catalog, &here, &[("a", "here")], &[]).await;
    assert_eq!(catalog.served(&there).await.unwrap(), v(0));
    publish(catalog, &there, &[("A", "capital"), ("a", "there")], &[]).await;
    publish(catalog, &there, &[], &["a"]).await;
    catalog.prune(&there, v(2)).await.unwrap();
    assert_eq!(shown(catalog, &here, one).await, ["a here"]);
    assert_eq!(shown(catalog, &there, v(2)).await, ["A capital"]);
    assert!(catalog.needed(&there, &[hash("here"), hash("there")]).await.unwrap().is_empty());
    catalog.begin(&here, &ingest("i"), at(1)).await.unwrap();
    assert!(missing(catalog.ingest(&there, &ingest("i")).await));
    assert!(missing(catalog.stage(&there, &ingest("i"), &staged("a", "x")).await));
}

pub async fn pruned_versions_are_gone_and_the_served_one_stays(catalog: &Shared) {
    let tenant = tenant("pruned");
    let one = publish(catalog, &tenant, &[("a", "1"), ("b", "1")], &[]).await;
    let two = publish(catalog, &tenant, &[("a", "2")], &[]).await;
    let three = publish(catalog, &tenant, &[("a", "3")], &["b"]).await;
    catalog.rollback(&tenant, two, at(5)).await.unwrap();
    assert!(conflict(catalog.prune(&tenant, three).await));
    assert_eq!(catalog.prune(&tenant, two).await.unwrap(), [hash("1")], "which b still needs");
    assert!(missing(catalog.documents(&tenant, one).await));
    assert_eq!(shown(catalog, &tenant, two).await, ["a 2", "b 1"]);
    assert_eq!(shown(catalog, &tenant, three).await, ["a 3"]);
    assert_eq!(catalog.versions(&tenant).await.unwrap().len(), 2);
    let all = [hash("1"), hash("2"), hash("3")];
    assert_eq!(catalog.needed(&tenant, &all).await.unwrap().len(), 3);
    catalog.rollback(&tenant, three, at(6)).await.unwrap();
    assert_eq!(catalog.prune(&tenant, three).await.unwrap().len(), 2);
    assert!(catalog.prune(&tenant, three).await.unwrap().is_empty());
    assert_eq!(catalog.needed(&tenant, &all).await.unwrap(), [hash("3")]);
    assert_eq!(catalog.documents(&tenant, three).await.unwrap()[0].id, id("a"));
}

pub async fn what_no_kept_version_holds_is_not_needed(catalog: &Shared) {
    let tenant = tenant("gap");
    publish(catalog, &tenant, &[("a", "1")], &[]).await;
    let given_up = catalog.begin_build(&tenant, at(1), LEASE).await.unwrap();
    catalog.abort_build(&tenant, &given_up).await.unwrap();
    publish(catalog, &tenant, &[("a", "3")], &[]).await;
    assert_eq!(catalog.prune(&tenant, given_up.version).await.unwrap(), [hash("1")]);
    assert_eq!(catalog.needed(&tenant, &[hash("1"), hash("3")]).await.unwrap(), [hash("3")]);
}

pub async fn needed_are_kept_versions_and_open_ingests(catalog: &Shared) {
    let tenant = tenant("needed");
    publish(catalog, &tenant, &[("a", "kept")], &[]).await;
    for name in ["open", "shut"] {
        catalog.begin(&tenant, &ingest(name), at(1)).await.unwrap();
        catalog.stage(&tenant, &ingest(name), &staged("x", name)).await.unwrap();
    }
    catalog.abort(&tenant, &ingest("shut")).await.unwrap();
    let mut asked: Vec<_> = (0..1200).map(|n| hash(&format!("nobody's {n}"))).collect();
    asked.extend([hash("kept"), hash("open"), hash("shut")]);
    let mut expected = vec![hash("kept"), hash("open")];
    expected.sort();
    assert_eq!(catalog.needed(&tenant, &asked).await.unwrap(), expected);
    assert!(catalog.needed(&tenant, &[]).await.unwrap().is_empty());
}
