//! The catalogue's contract: one suite, every database.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod builds;
mod ingests;
mod many;
mod model;
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
        versions::what_no_kept_version_holds_is_not_needed
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
        model::any_history_is_that_of_the_model
        many::builders_and_readers_at_once
        many::ten_thousand_documents
        many::it_answers
    }
}

/// Several nodes that come to a new database at once.
async fn nodes(url: &str, data_dir: &Path) -> Vec<Arc<dyn Catalog>> {
    let nodes = [(); 4].map(|()| {
        let (url, data_dir) = (url.to_owned(), data_dir.to_owned());
        tokio::spawn(async move { catalog::connect(&url, &data_dir).await })
    });
    let mut catalogs = Vec::new();
    for node in nodes {
        catalogs.push(node.await.unwrap().expect("any of them may make the tables"));
    }
    catalogs
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let home = TempDir::new().unwrap();
    let catalogs = nodes("sqlite:", home.path()).await;
    assert!(home.path().join("catalog.db").exists());
    contract(&catalogs[0]).await;
    many::builders_and_readers_on(&catalogs, "shared").await;
}

/// A file system of its own with 1 MiB; needs the right to mount one.
#[tokio::test]
async fn a_full_disk_is_told_and_changes_nothing() {
    let home = TempDir::new().unwrap();
    let run = |program: &str, rest: &[&str]| {
        std::process::Command::new(program).args(rest).arg(home.path()).status().is_ok_and(|status| status.success())
    };
    if !run("mount", &["-t", "tmpfs", "-o", "size=1m", "none"]) {
        eprintln!("not run: this account may not mount a file system");
        return;
    }
    let catalog = catalog::connect("sqlite:", home.path()).await;
    let told = tokio::spawn(async move { many::too_many_documents(&catalog.unwrap()).await }).await;
    assert!(run("umount", &["--lazy"]));
    assert!(told.unwrap().contains("no room"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    let mut server = MariaDb::start();
    let url = server.url();
    let mut catalogs = nodes(&url, Path::new("")).await;
    many::builders_and_readers_on(&catalogs, "shared").await;
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
