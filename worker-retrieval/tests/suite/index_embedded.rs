//! What the embedded index promises of its files.

use crate::{
    index_contract::{LIMITS, all, build, document, id, keeps_the_contract, search, texts, v, vector, vectors},
    tenant,
};
use protocol::Passage;
use std::{fs, path::Path};
use worker_retrieval::index::{EmbeddedIndex, Found, IndexError, Query, SearchIndex, Vectors, connect};

fn open(directory: &Path) -> EmbeddedIndex {
    EmbeddedIndex::open(directory, vectors(), LIMITS).unwrap()
}

#[test]
fn embedded_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    // So many that the log is written anew.
    keeps_the_contract(&open(directory.path()), 30);
    let space = directory.path().join(vectors().fingerprint());
    assert!(!space.join("tenants/nobody").exists(), "a search leaves nothing behind");
}

/// What the first two versions hold, without BM25's scores: its statistics count what was not dropped yet.
fn both(index: &dyn SearchIndex) -> [(Vec<String>, Vec<Passage>); 2] {
    [1, 2].map(|version| {
        let Found { by_text, by_vector } = search(index, "t", version, "word two");
        (by_text.into_iter().map(|passage| passage.text).collect(), by_vector)
    })
}

#[test]
fn what_was_sealed_survives_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let index = open(directory.path());
        build(&index, "t", 1, &[], vec![document("a", &[("q", "word one")]), document("gone", &[("q", "word")])]);
        build(&index, "t", 2, &["gone"], vec![document("b", &[("q two", "word two")])]);
        index.remove(&tenant("t"), v(3), &[id("a")]).unwrap();
        index.add(&tenant("t"), v(3), vec![document("c", &[("q", "word lost")])]).unwrap();
        both(&index)
    };
    let index = open(directory.path());
    assert_eq!(index.holds(&tenant("t")).unwrap(), v(2));
    assert_eq!(both(&index), before);
    index.undo(&tenant("t"), v(2)).unwrap();
    build(&index, "t", 4, &[], vec![document("d", &[("q", "word d")])]);
    index.undo(&tenant("t"), v(2)).unwrap();
    drop(index);
    let index = open(directory.path());
    assert_eq!(both(&index), before);
    build(&index, "t", 5, &["a"], vec![document("e", &[("q", "word e")])]);
    assert_eq!(all(&index, "t", 5, "word"), ["word e", "word two"]);
}

#[test]
fn a_log_cut_anywhere_holds_the_last_version_that_is_whole_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join(vectors().fingerprint()).join("tenants/t/rows.log");
    let mut ends = vec![0];
    for version in 1..=3 {
        let index = open(directory.path());
        build(&index, "t", version, &["a"], vec![document("a", &[("x", "word")])]);
        ends.push(fs::metadata(&log).unwrap().len());
    }
    let whole = fs::read(&log).unwrap();
    for cut in (0..whole.len()).step_by(97).chain(ends.iter().map(|end| *end as usize)).rev() {
        fs::write(&log, &whole[..cut]).unwrap();
        let index = open(directory.path());
        let held = index.holds(&tenant("t")).unwrap();
        assert_eq!(held.0 as usize, ends.iter().rposition(|end| *end as usize <= cut).unwrap(), "{cut}");
        assert_eq!(all(&index, "t", held.0, "word").len(), usize::from(held.0 > 0));
    }
    let mut damaged = whole.clone();
    damaged[ends[1] as usize + 60] ^= 1;
    fs::write(&log, &damaged).unwrap();
    let index = open(directory.path());
    assert_eq!(index.holds(&tenant("t")).unwrap(), v(1), "what is damaged is not served");
    build(&index, "t", 4, &["a"], vec![document("b", &[("x", "word again")])]);
    assert_eq!(all(&index, "t", 4, "word"), ["word again"]);
}

#[test]
fn more_tenants_than_stay_open_can_be_built_and_searched_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let names: Vec<String> = (0..5).map(|n| format!("t{n}")).collect();
    names.iter().for_each(|who| index.add(&tenant(who), v(1), vec![document(who, &[("x", "word")])]).unwrap());
    names.iter().for_each(|who| index.seal(&tenant(who), v(1)).unwrap());
    for who in names.iter().chain(&names) {
        assert_eq!(search(&index, who, 1, "word").by_text[0].document, id(who));
    }
}

#[test]
fn spaces_lie_apart_and_a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", directory.path().display());
    let connect = |url: &str, vectors| connect(url, None, Path::new("/nowhere"), vectors, LIMITS);
    let first = connect(&url, vectors()).unwrap();
    build(&*first, "t", 1, &[], vec![document("a", &[("x", "word")])]);
    let other = connect(&url, Vectors { embedder: "fastembed:x".into(), dimensions: 256 }).unwrap();
    assert_eq!(other.holds(&tenant("t")).unwrap(), v(0));
    let again = connect(&url, vectors()).err().unwrap();
    assert!(matches!(again, IndexError::InUse(_)), "{again}");
    assert!(matches!(connect("x", vectors()), Err(IndexError::Unknown(_))));
}

#[test]
fn other_formats_are_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let meta = directory.path().join(vectors().fingerprint()).join("meta.json");
    let newer = fs::read_to_string(&meta).unwrap().replace("\"format\":2", "\"format\":3,\"more\":1");
    fs::write(&meta, newer).unwrap();
    let error = EmbeddedIndex::open(directory.path(), vectors(), LIMITS).err().unwrap();
    assert!(matches!(error, IndexError::Newer { found: 3, known: 2, .. }), "{error}");
    fs::write(directory.path().join("meta.json"), "{\"format\":1}").unwrap();
    let error = EmbeddedIndex::open(directory.path(), vectors(), LIMITS).err().unwrap();
    assert!(error.to_string().contains("frontdesk rebuild"), "{error}");
}

#[test]
fn a_damaged_tenant_is_an_error_until_it_is_cleared_and_no_other_is_harmed() {
    let directory = tempfile::tempdir().unwrap();
    build(&open(directory.path()), "t", 1, &[], vec![document("a", &[("x", "word")])]);
    let words = directory.path().join(vectors().fingerprint()).join("tenants/t/words/meta.json");
    fs::write(&words, b"{").unwrap();
    let index = open(directory.path());
    let error = index.holds(&tenant("t")).unwrap_err();
    assert!(matches!(error, IndexError::Broken { .. }), "{error}");
    build(&index, "u", 1, &[], vec![document("a", &[("x", "word")])]);
    index.clear(&tenant("t")).unwrap();
    build(&index, "t", 1, &[], vec![document("a", &[("x", "word")])]);
    drop(index);
    fs::remove_dir_all(words.parent().unwrap()).unwrap();
    let error = open(directory.path()).holds(&tenant("t")).unwrap_err();
    assert!(error.to_string().contains("words of 1 passages"), "{error}");
}

#[test]
fn a_tenant_whose_making_was_cut_short_starts_empty() {
    let directory = tempfile::tempdir().unwrap();
    let space = directory.path().join(vectors().fingerprint());
    fs::create_dir_all(space.join("tenants/t/words")).unwrap();
    fs::write(space.join("tenants/t/words/.managed.json"), b"[]").unwrap();
    fs::write(space.join("meta.json.new"), b"{\"for").unwrap();
    let index = open(directory.path());
    assert_eq!(search(&index, "t", 0, "word"), Found::default());
    build(&index, "t", 1, &[], vec![document("a", &[("x", "word")])]);
    assert_eq!(all(&index, "t", 1, "word"), ["word"]);
}

#[test]
fn a_search_sees_one_version_whole_while_others_are_built_and_pruned() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let content = |version: u64| vec![document("a", &[("x", ["even word", "odd word"][version as usize % 2]); 4])];
    build(&index, "t", 1, &[], content(1));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for version in 2..40 {
                build(&index, "t", version, &["a"], content(version));
                index.prune(&tenant("t"), v(version - 1)).unwrap();
            }
        });
        while !writer.is_finished() {
            let version = index.holds(&tenant("t")).unwrap().0;
            let query = Query { text: "word", vector: &vector("word"), candidates: 9 };
            match index.search(&tenant("t"), v(version), query) {
                Err(IndexError::Behind { .. }) => {}
                found => {
                    let found = found.unwrap();
                    let expected = [["even word", "odd word"][version as usize % 2]; 4];
                    assert_eq!(
                        (texts(&found.by_text), texts(&found.by_vector)),
                        (expected.to_vec(), expected.to_vec())
                    );
                }
            }
        }
    });
}
