//! Documents on their way.

use crate::support::{LEASE, Shared, at, hash, id, ingest, missing, publish, staged, tenant, work};
use protocol::{ErrorCode, Failure, IngestCounts, IngestState, Outcome};

pub async fn to_begin_and_to_stage_may_be_repeated(catalog: &Shared) {
    let (tenant, ingest) = (tenant("repeat"), ingest("ing_1"));
    for begun in [5, 9] {
        catalog.begin(&tenant, &ingest, at(begun)).await.unwrap();
    }
    let known = catalog.ingest(&tenant, &ingest).await.unwrap();
    assert_eq!(
        (known.id, known.state, known.version, known.removed, known.begun),
        (ingest.clone(), IngestState::Open, None, 0, at(5))
    );
    let mut last = staged("a", "2");
    last.warnings = vec!["第 3 行: \"?\"".into()];
    last.failure = Some(Failure::new(ErrorCode::UnreadableDocument, "is encrypted"));
    for staged in [&staged("a", "1"), &last, &last] {
        catalog.stage(&tenant, &ingest, staged).await.unwrap();
    }
    catalog.begin(&tenant, &ingest, at(10)).await.unwrap();
    assert_eq!(catalog.staged(&tenant, &ingest, None, 9).await.unwrap(), [last]);
}

pub async fn documents_come_in_pages_by_name(catalog: &Shared) {
    let (tenant, ingest) = (tenant("pages"), ingest("ing_1"));
    catalog.begin(&tenant, &ingest, at(1)).await.unwrap();
    let names = ["B", "a", "a ", "a.", "ab", "über", "文档", "🦀"];
    for name in names.iter().rev() {
        let mut staged = staged("x", "1");
        (staged.name, staged.id) = (name.to_string(), id(&format!("x{}", hash(name))));
        catalog.stage(&tenant, &ingest, &staged).await.unwrap();
    }
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = catalog.staged(&tenant, &ingest, seen.last().map(String::as_str), 3).await.unwrap();
        seen.extend(page.iter().map(|staged| staged.name.clone()));
        if page.len() < 3 {
            break;
        }
    }
    assert_eq!(seen, names);
    let mut long = staged("x", "1");
    long.name = "x".repeat(2000);
    catalog.stage(&tenant, &ingest, &long).await.unwrap_err();
}

pub async fn an_ingest_ends_with_its_version(catalog: &Shared) {
    let (tenant, ingest) = (tenant("ends"), ingest("ing_1"));
    publish(catalog, &tenant, &[("a", "1"), ("b", "1"), ("c", "1")], &[]).await;
    catalog.begin(&tenant, &ingest, at(1)).await.unwrap();
    catalog.stage(&tenant, &ingest, &staged("a", "2")).await.unwrap();
    let build = catalog.begin_build(&tenant, at(2), LEASE).await.unwrap();
    let mut work = work(&build, &[("a", "2")], &["a", "b", "c"]);
    work.ingest = Some(ingest.clone());
    catalog.publish(&tenant, &build, work, at(3)).await.unwrap();
    let known = catalog.ingest(&tenant, &ingest).await.unwrap();
    assert_eq!((known.state, known.version, known.removed), (IngestState::Published, Some(build.version), 2));
    assert_eq!(catalog.staged(&tenant, &ingest, None, 9).await.unwrap(), [staged("a", "2")]);
}

pub async fn an_ended_ingest_takes_no_documents(catalog: &Shared) {
    let tenant = tenant("ended");
    let (shut, done) = (ingest("ing_1"), ingest("ing_2"));
    for ingest in [&shut, &done] {
        catalog.begin(&tenant, ingest, at(1)).await.unwrap();
    }
    for _ in 0..2 {
        catalog.abort(&tenant, &shut).await.unwrap();
    }
    let build = catalog.begin_build(&tenant, at(2), LEASE).await.unwrap();
    let with = |ingest| catalog::Work { ingest: Some(ingest), ..work(&build, &[("a", "1")], &[]) };
    assert!(missing(catalog.publish(&tenant, &build, with(shut.clone()), at(3)).await));
    catalog.publish(&tenant, &build, with(done.clone()), at(3)).await.unwrap();
    catalog.begin(&tenant, &shut, at(4)).await.unwrap();
    assert_eq!(catalog.ingest(&tenant, &shut).await.unwrap().state, IngestState::Aborted);
    assert!(missing(catalog.abort(&tenant, &done).await) && missing(catalog.abort(&tenant, &ingest("ing_3")).await));
    for ingest in [shut, done, ingest("ing_3")] {
        assert!(missing(catalog.stage(&tenant, &ingest, &staged("a", "1")).await));
    }
}

pub async fn old_ingests_are_forgotten(catalog: &Shared) {
    let tenant = tenant("forgotten");
    for (name, begun) in [("ing_1", 10), ("ing_2", 20)] {
        catalog.begin(&tenant, &ingest(name), at(begun)).await.unwrap();
        catalog.stage(&tenant, &ingest(name), &staged("a", name)).await.unwrap();
    }
    assert_eq!(catalog.forget_ingests(&tenant, at(20)).await.unwrap(), [hash("ing_1")]);
    assert!(missing(catalog.ingest(&tenant, &ingest("ing_1")).await));
    assert!(catalog.staged(&tenant, &ingest("ing_1"), None, 9).await.unwrap().is_empty());
    assert_eq!(catalog.staged(&tenant, &ingest("ing_2"), None, 9).await.unwrap().len(), 1);
    assert_eq!(catalog.needed(&tenant, &[hash("ing_1"), hash("ing_2")]).await.unwrap(), [hash("ing_2")]);
}

pub async fn outcomes_are_counted(catalog: &Shared) {
    let (tenant, ingest) = (tenant("counted"), ingest("ing_1"));
    assert!(missing(catalog.counts(&tenant, &ingest).await));
    catalog.begin(&tenant, &ingest, at(1)).await.unwrap();
    assert_eq!(catalog.counts(&tenant, &ingest).await.unwrap(), IngestCounts::default());
    for (name, outcome) in
        [("a", Outcome::Added), ("b", Outcome::Failed), ("c", Outcome::Added), ("d", Outcome::Unchanged)]
    {
        catalog.stage(&tenant, &ingest, &catalog::Staged { outcome, ..staged(name, "1") }).await.unwrap();
    }
    catalog.stage(&tenant, &ingest, &catalog::Staged { outcome: Outcome::Replaced, ..staged("c", "2") }).await.unwrap();
    let build = catalog.begin_build(&tenant, at(2), LEASE).await.unwrap();
    let work = catalog::Work { ingest: Some(ingest.clone()), ..work(&build, &[("a", "1")], &["x", "y"]) };
    catalog.publish(&tenant, &build, work, at(3)).await.unwrap();
    let expected = IngestCounts { added: 1, replaced: 1, unchanged: 1, removed: 2, failed: 1 };
    assert_eq!(catalog.counts(&tenant, &ingest).await.unwrap(), expected);
}

pub async fn an_ingest_that_changes_nothing_ends_with_what_is_served(catalog: &Shared) {
    let (tenant, ingest) = (tenant("nothing"), ingest("ing_1"));
    let one = publish(catalog, &tenant, &[("a", "1")], &[]).await;
    catalog.begin(&tenant, &ingest, at(1)).await.unwrap();
    catalog.close(&tenant, &ingest, one).await.unwrap();
    let known = catalog.ingest(&tenant, &ingest).await.unwrap();
    assert_eq!((known.state, known.version, known.removed), (IngestState::Published, Some(one), 0));
    assert!(missing(catalog.close(&tenant, &ingest, one).await));
}
