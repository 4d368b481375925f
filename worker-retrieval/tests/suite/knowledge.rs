//! Keeping knowledge: ingests, versions, rollback, other workers' indexes, and what a crash leaves.

use crate::support::Shelf;
use protocol::{
    DocumentFormat, ErrorCode, Event, Failure, IngestId, IngestReport, IngestState, KnowledgeJob, KnowledgeVersion,
    Outcome,
};

fn ingest(name: &str) -> IngestId {
    IngestId::parse(name).unwrap()
}

async fn report(shelf: &Shelf, job: KnowledgeJob) -> Result<IngestReport, Failure> {
    match shelf.apply(job).await? {
        Event::Ingest(report) => Ok(report),
        other => panic!("{other:?}"),
    }
}

async fn stage(shelf: &Shelf, of: &str, name: &str, text: &str) -> Outcome {
    let format = if name.ends_with(".csv") { DocumentFormat::FaqCsv } else { DocumentFormat::Markdown };
    let job = shelf.addition(name, format, text.as_bytes(), Some(ingest(of))).await;
    report(shelf, job).await.unwrap().documents.remove(0).outcome
}

async fn publish(shelf: &Shelf, of: &str, remove_others: bool) -> IngestReport {
    report(shelf, KnowledgeJob::Publish { ingest: ingest(of), remove_others }).await.unwrap()
}

#[tokio::test]
async fn an_ingest_is_served_as_a_whole_and_a_bad_file_is_told_and_skipped() {
    let shelf = Shelf::open().await;
    report(&shelf, KnowledgeJob::Begin { ingest: ingest("one") }).await.unwrap();
    assert_eq!(stage(&shelf, "one", "a.md", "# Alpacas\n\nAlpacas eat grass.").await, Outcome::Added);
    assert_eq!(stage(&shelf, "one", "b.csv", "nonsense").await, Outcome::Failed);
    assert_eq!(stage(&shelf, "one", "c.md", "# Camels\n\nCamels drink water.").await, Outcome::Added);
    assert_eq!(shelf.texts("alpacas eat").await, Vec::<String>::new(), "nothing is served before all is");
    let done = publish(&shelf, "one", false).await;
    assert_eq!((done.state, done.version), (IngestState::Published, Some(KnowledgeVersion(1))));
    assert_eq!((done.counts.added, done.counts.failed), (2, 1));
    let bad = done.documents.iter().find(|one| one.name == "b.csv").unwrap();
    assert_eq!(bad.failure.as_ref().unwrap().code, ErrorCode::UnreadableDocument);
    assert_eq!(shelf.texts("alpacas eat").await, ["Alpacas eat grass.", "Camels drink water."]);
    assert_eq!(publish(&shelf, "one", false).await.version, Some(KnowledgeVersion(1)), "a repeat does no harm");
}

#[tokio::test]
async fn what_has_not_changed_is_told_as_such_and_makes_no_version() {
    let shelf = Shelf::open().await;
    shelf.put("a.md", "# Alpacas\n\nAlpacas eat grass.").await;
    report(&shelf, KnowledgeJob::Begin { ingest: ingest("two") }).await.unwrap();
    assert_eq!(stage(&shelf, "two", "a.md", "# Alpacas\n\nAlpacas eat grass.").await, Outcome::Unchanged);
    assert_eq!(publish(&shelf, "two", true).await.version, Some(KnowledgeVersion(1)));
    report(&shelf, KnowledgeJob::Begin { ingest: ingest("three") }).await.unwrap();
    assert_eq!(stage(&shelf, "three", "a.md", "# Alpacas\n\nAlpacas eat hay.").await, Outcome::Replaced);
    assert_eq!(publish(&shelf, "three", false).await.version, Some(KnowledgeVersion(3)), "2 came to nothing");
    assert_eq!(shelf.texts("alpacas eat").await, ["Alpacas eat hay."]);
}

#[tokio::test]
async fn others_are_removed_on_request_but_not_for_a_file_that_could_not_be_read() {
    let shelf = Shelf::open().await;
    for name in ["a.md", "b.md", "c.csv"] {
        let text = if name == "c.csv" { "question,answer\nWhat do camels do?,Camels drink." } else { "Alpacas eat." };
        shelf.put(name, text).await;
    }
    report(&shelf, KnowledgeJob::Begin { ingest: ingest("i") }).await.unwrap();
    stage(&shelf, "i", "a.md", "Alpacas eat.").await;
    assert_eq!(stage(&shelf, "i", "c.csv", "broken").await, Outcome::Failed);
    assert_eq!(publish(&shelf, "i", true).await.counts.removed, 1);
    assert_eq!(shelf.names().await, ["a.md", "c.csv"]);
    assert_eq!(shelf.texts("camels drink").await[0], "Camels drink.");
}

#[tokio::test]
async fn an_earlier_version_is_served_again_and_built_upon() {
    let shelf = Shelf::open().await;
    shelf.put("a.md", "Alpacas eat grass.").await;
    shelf.put("a.md", "Alpacas eat hay.").await;
    assert_eq!(shelf.texts("alpacas eat").await, ["Alpacas eat hay."]);
    shelf.apply(KnowledgeJob::Rollback { to: None }).await.unwrap();
    assert_eq!(shelf.texts("alpacas eat").await, ["Alpacas eat grass."]);
    shelf.put("b.md", "Camels drink water.").await;
    assert_eq!(shelf.texts("alpacas eat").await[0], "Alpacas eat grass.", "what was rolled back is gone");
    assert_eq!(shelf.texts("camels drink").await[0], "Camels drink water.");
    let missing = shelf.apply(KnowledgeJob::Rollback { to: Some(KnowledgeVersion(99)) }).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn another_worker_follows_with_an_index_of_its_own_and_a_lost_index_comes_back() {
    let shelf = Shelf::open().await;
    shelf.put("a.md", "Alpacas eat grass.").await;
    shelf.put("b.md", "Camels drink water.").await;
    shelf.put("a.md", "Alpacas eat hay.").await;
    shelf.apply(KnowledgeJob::Rollback { to: Some(KnowledgeVersion(2)) }).await.unwrap();
    shelf.put("c.md", "Cats sleep.").await;
    let other = shelf.another().await;
    let first = async |query: &str| other.texts(query).await.into_iter().next().unwrap_or_default();
    other.until(async || first("cats sleep").await == "Cats sleep.").await;
    assert_eq!(first("alpacas eat").await, "Alpacas eat grass.");
    shelf.apply(KnowledgeJob::Rollback { to: Some(KnowledgeVersion(2)) }).await.unwrap();
    assert_eq!(other.texts("alpacas eat").await[0], "Alpacas eat grass.");
    assert!(!other.texts("cats sleep").await.contains(&"Cats sleep.".to_string()));
}

#[tokio::test]
async fn while_an_index_is_empty_curated_answers_are_given_all_the_same() {
    let shelf = Shelf::open().await;
    shelf.put("c.csv", "question,answer\nWhat do camels drink?,Camels drink water.").await;
    let other = shelf.another().await;
    let first = other.search("What do camels drink?").await;
    assert_eq!(first.faq.unwrap().answer, "Camels drink water.");
    assert_eq!(first.passages[0].text, "Camels drink water.");
}

#[tokio::test]
async fn old_versions_and_their_originals_are_dropped() {
    let shelf = Shelf::open().await;
    for n in 0..5 {
        shelf.put("a.md", &format!("Alpacas eat {n} kilograms of hay.")).await;
    }
    shelf.until(async || shelf.versions().await.len() == 3).await;
    shelf.until(async || shelf.originals().await == 3).await;
    shelf.apply(KnowledgeJob::Rollback { to: Some(KnowledgeVersion(3)) }).await.unwrap();
    assert_eq!(shelf.texts("alpacas eat").await, ["Alpacas eat 2 kilograms of hay."]);
}

#[tokio::test]
async fn two_ingests_of_one_document_at_once_leave_one_of_them() {
    let shelf = Shelf::open().await;
    let puts = (0..6).map(|n| shelf.try_put("a.md", format!("Alpacas eat {n} kilograms of hay.")));
    let done = futures_util::future::join_all(puts).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(shelf.names().await, ["a.md"]);
    assert_eq!(shelf.texts("alpacas eat").await.len(), 1);
}

#[tokio::test]
async fn a_build_whose_worker_died_blocks_nobody_for_long() {
    let shelf = Shelf::open().await;
    shelf.put("a.md", "Alpacas eat grass.").await;
    shelf.abandon_a_build().await;
    let refused = shelf.try_put_within("c.md", "Cats sleep.".into(), 300).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    shelf.clock.advance(31_000);
    shelf.put("c.md", "Cats sleep.").await;
    assert_eq!(shelf.names().await, ["a.md", "c.md"]);
}

#[tokio::test]
async fn no_search_sees_half_a_version() {
    let shelf = Shelf::open().await;
    let pair = async |n: u32| {
        let name = format!("i{n}");
        report(&shelf, KnowledgeJob::Begin { ingest: ingest(&name) }).await.unwrap();
        stage(&shelf, &name, "a.md", &format!("Alpacas count {n}.")).await;
        stage(&shelf, &name, "b.md", &format!("Bears count {n}.")).await;
        publish(&shelf, &name, true).await
    };
    pair(0).await;
    let publishing = async {
        for n in 1..8 {
            pair(n).await;
        }
    };
    let looking = async {
        for _ in 0..60 {
            let texts = shelf.texts("count alpacas bears").await;
            let numbers: Vec<&str> = texts.iter().filter_map(|text| text.split_whitespace().last()).collect();
            assert!(numbers.len() == 2 && numbers[0] == numbers[1], "{texts:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(publishing, looking);
    assert_eq!(shelf.search("x").await.version, KnowledgeVersion(8));
}
