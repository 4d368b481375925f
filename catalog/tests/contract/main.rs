//! The catalogue's contract: one suite, every database.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod builds;
mod ingests;
mod many;
mod questions;
mod support;
mod versions;

use catalog::{Catalog, CatalogError};
use runtime::testing::MariaDb;
use std::{path::Path, sync::Arc};
use tempfile::TempDir;

/// Runs every case in turn on `catalog` and says how long each took.
async fn contract(catalog: &Arc<dyn Catalog>) {
    macro_rules! run {
        ($($module:ident::$case:ident)*) => {$({
            let begin = tokio::time::Instant::now();
            $module::$case(catalog).await;
            eprintln!("  {:<60} {:>6} ms", concat!(stringify!($module), "::", stringify!($case)), begin.elapsed().as_millis());
        })*};
    }
    run! {
        versions::nothing_is_served_at_first
        versions::a_version_shows_its_own_documents
        versions::changes_lead_from_one_version_to_another
        versions::curated_answers_go_with_their_documents
        versions::what_a_rolled_back_version_brought_vanishes
        versions::a_later_version_can_be_served_again_until_another_build
        versions::tenants_are_apart
        versions::pruned_versions_are_gone_and_the_served_one_stays
        versions::needed_are_kept_versions_and_open_ingests
        builds::one_build_runs_at_a_time
        builds::a_crashed_build_ends_with_its_lease
        builds::a_renewed_build_goes_on
        builds::numbers_are_never_used_again
        builds::of_two_builders_one_publishes
        builds::nobody_rolls_back_under_a_build
        builds::a_build_is_not_published_on_another_base
        builds::a_published_build_may_be_published_again
        builds::a_build_that_contradicts_itself_changes_nothing
        ingests::to_begin_and_to_stage_may_be_repeated
        ingests::documents_come_in_pages_by_name
        ingests::an_ingest_ends_with_its_version
        ingests::an_ended_ingest_takes_no_documents
        ingests::outcomes_are_counted
        ingests::an_ingest_that_changes_nothing_ends_with_what_is_served
        ingests::old_ingests_are_forgotten
        questions::questions_come_back_the_latest_first
        questions::the_oldest_questions_go
        many::builders_and_readers_at_once
        many::ten_thousand_documents
        many::it_answers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let home = TempDir::new().unwrap();
    let catalog = catalog::connect("sqlite:", home.path()).await.unwrap();
    contract(&catalog).await;
    assert!(home.path().join("catalog.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    let mut server = MariaDb::start();
    let url = server.url();
    let nodes = [(); 4].map(|()| {
        let url = url.clone();
        tokio::spawn(async move { catalog::connect(&url, Path::new("")).await })
    });
    let mut catalogs = Vec::new();
    for node in nodes {
        catalogs.push(node.await.unwrap().expect("four may make the tables at once"));
    }
    let catalog = catalogs.remove(0);
    contract(&catalog).await;
    many::it_comes_back(&catalog, || server.kill()).await;
    server.start_again();
    many::it_answers(&catalog).await;
    support::age(&url).await;
    let refused = catalog::connect(&url, Path::new("")).await.err().unwrap();
    assert!(matches!(&refused, CatalogError::Unusable(text) if text.contains("newer")), "{refused}");
    for wrong in ["frontdesk:wrong@", "nobody:secret@"] {
        let refused = catalog::connect(&url.replace("frontdesk:secret@", wrong), Path::new("")).await.err().unwrap();
        let text = refused.to_string();
        assert!(text.contains("catalog.url") && text.contains("denied") && !text.contains("wrong"), "{text}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_build_is_refused() {
    let home = TempDir::new().unwrap();
    let url = format!("sqlite:{}", home.path().join("a b?.db").display());
    drop(catalog::connect(&url, Path::new("")).await.unwrap());
    support::age(&url.replace("a b?.db", "a%20b%3F.db")).await;
    let refused = catalog::connect(&url, Path::new("")).await.err().unwrap();
    assert!(matches!(&refused, CatalogError::Unusable(text) if text.contains("newer")), "{refused}");
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let home = TempDir::new().unwrap();
    std::fs::write(
        home.path().join("catalog.db"),
        "no database, but long enough to have a header of its own".repeat(99),
    )
    .unwrap();
    let refused = catalog::connect("sqlite:", home.path()).await.err().unwrap();
    assert!(matches!(&refused, CatalogError::Unusable(text) if text.contains("catalog.url")), "{refused}");
    for url in ["", "sqlite", "postgres://localhost/x", "mysql:", "mysql://localhost", "mysql://h/?a"] {
        let refused = catalog::connect(url, home.path()).await.err().unwrap();
        assert!(matches!(&refused, CatalogError::Unusable(text) if text.contains("catalog.url")), "{url}: {refused}");
    }
}
