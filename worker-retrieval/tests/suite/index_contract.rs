//! What every backend of the index port promises.

use crate::tenant;
use protocol::{DocumentFormat, DocumentId, DocumentInfo};
use std::path::Path;
use worker_retrieval::{
    embed::{Embedder, HashingEmbedder},
    index::{EmbeddedIndex, Found, IndexError, Limits, NewDocument, NewPassage, Query, SearchIndex, Vectors, connect},
};

const LIMITS: Limits = Limits { open_tenants: 2, tenant_passages: 10 };

fn vectors() -> Vectors {
    Vectors { embedder: HashingEmbedder.id().into(), dimensions: HashingEmbedder.dimensions() }
}

fn open(directory: &Path) -> EmbeddedIndex {
    EmbeddedIndex::open(directory.into(), vectors(), LIMITS).unwrap()
}

fn vector(text: &str) -> Vec<f32> {
    HashingEmbedder.embed_passages(&[text]).unwrap().remove(0)
}

fn id(text: &str) -> DocumentId {
    DocumentId::parse(text).unwrap()
}

/// A document whose passages are (title, text) pairs.
fn document(name: &str, curated: bool, passages: &[(&str, &str)]) -> NewDocument {
    let format = if curated { DocumentFormat::FaqCsv } else { DocumentFormat::Markdown };
    let info = DocumentInfo {
        id: id(name),
        name: format!("{name}.md"),
        title: name.into(),
        format,
        passages: u32::try_from(passages.len()).unwrap(),
        bytes: 7,
    };
    let passages = passages.iter().map(|&(title, text)| NewPassage {
        title: title.into(),
        text: text.into(),
        vector: vector(&format!("{title} {text}")),
        question: curated.then(|| vector(title)),
    });
    NewDocument { info, passages: passages.collect() }
}

fn search(index: &dyn SearchIndex, who: &str, text: &str) -> Found {
    index.search(&tenant(who), Query { text, vector: &vector(text), candidates: 5 }).unwrap()
}

fn texts(passages: &[protocol::Passage]) -> Vec<&str> {
    passages.iter().map(|passage| passage.text.as_str()).collect()
}

fn names(index: &dyn SearchIndex, who: &str) -> Vec<String> {
    index.list(&tenant(who)).unwrap().into_iter().map(|info| info.name).collect()
}

#[test]
fn a_document_is_found_by_its_words_and_by_its_vector() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let passages =
        [("退货", "七天内可以退货。"), ("配送", "满 99 元包邮。"), ("Shipping", "Parcels arrive in 2 days.")];
    assert!(!index.put(&tenant("t"), document("a", false, &passages)).unwrap());
    let found = search(&index, "t", "退货");
    assert_eq!(texts(&found.by_text), ["七天内可以退货。"]);
    assert_eq!(found.by_vector.len(), 3);
    assert_eq!((&found.by_vector[0].title, found.by_vector[0].chunk), (&"退货".to_owned(), 0));
    assert!(found.by_vector.is_sorted_by(|a, b| a.score >= b.score) && found.faq.is_none());
    let found = search(&index, "t", "when will my PARCEL arrive?");
    assert_eq!(texts(&found.by_text), ["Parcels arrive in 2 days."], "by stems");
    assert_eq!(found.by_text[0].document, id("a"));
}

#[test]
fn the_closest_curated_question_is_found_by_the_question_alone() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    index
        .put(&tenant("t"), document("f", true, &[("Open hours?", "reset password"), ("Reset password", "Tap it.")]))
        .unwrap();
    index.put(&tenant("t"), document("m", false, &[("reset password", "reset password")])).unwrap();
    let faq = search(&index, "t", "reset password").faq.unwrap();
    assert_eq!((faq.question.as_str(), faq.answer.as_str(), faq.chunk), ("Reset password", "Tap it.", 1));
    assert!(faq.score > 0.99);
    assert!(search(&index, "t", "unrelated").faq.is_some(), "whatever its score");
}

#[test]
fn a_document_is_replaced_and_removed_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let t = tenant("t");
    index.put(&t, document("a", false, &[("x", "old one"), ("y", "old two")])).unwrap();
    index.put(&t, document("b", false, &[("z", "other")])).unwrap();
    assert!(index.put(&t, document("a", false, &[("x", "new")])).unwrap());
    let found = search(&index, "t", "old");
    assert_eq!((found.by_text.len(), found.by_vector.len()), (0, 2));
    assert_eq!(names(&index, "t"), ["a.md", "b.md"]);
    assert!(index.delete(&t, &id("a")).unwrap());
    assert!(!index.delete(&t, &id("a")).unwrap());
    assert_eq!(texts(&search(&index, "t", "new other").by_vector), ["other"]);
    assert_eq!(texts(&search(&index, "t", "new other").by_text), ["other"]);
}

#[test]
fn tenants_do_not_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    for who in ["a", "b", "meta.json"] {
        index.put(&tenant(who), document("same", true, &[("secret", who)])).unwrap();
    }
    for who in ["a", "b", "meta.json"] {
        let found = search(&index, who, "secret");
        assert_eq!((texts(&found.by_text), texts(&found.by_vector)), (vec![who], vec![who]));
        assert_eq!(found.faq.unwrap().answer, who);
    }
    index.delete(&tenant("a"), &id("same")).unwrap();
    assert_eq!(search(&index, "b", "secret").by_text.len(), 1);
    assert_eq!(search(&index, "nobody", "secret"), Found::default());
    assert_eq!(names(&index, "nobody"), Vec::<String>::new());
    assert!(!index.delete(&tenant("nobody"), &id("same")).unwrap());
    assert!(!directory.path().join("tenants/nobody").exists(), "a search leaves nothing behind");
}

#[test]
fn what_was_put_survives_a_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let index = open(directory.path());
        index.put(&tenant("t"), document("a", true, &[("q one", "a one"), ("q two", "a two")])).unwrap();
        index.put(&tenant("t"), document("gone", false, &[("q", "one")])).unwrap();
        index.delete(&tenant("t"), &id("gone")).unwrap();
        (search(&index, "t", "one"), index.list(&tenant("t")).unwrap())
    };
    let index = open(directory.path());
    let after = (search(&index, "t", "one"), index.list(&tenant("t")).unwrap());
    assert_eq!(before.0.by_vector, after.0.by_vector);
    assert_eq!(texts(&before.0.by_text), texts(&after.0.by_text));
    assert_eq!((before.0.faq, before.1), (after.0.faq, after.1));
}

#[test]
fn more_tenants_than_stay_open_can_be_used_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let index = &index;
            scope.spawn(move || {
                for round in 0..4 {
                    let who = format!("t{}", (worker + round) % 5);
                    let name = format!("d{worker}");
                    index.put(&tenant(&who), document(&name, false, &[("x", "word")])).unwrap();
                    assert!(search(index, &who, "word").by_text.iter().any(|passage| passage.document == id(&name)));
                }
            });
        }
    });
}

#[test]
fn a_tenant_has_room_for_so_many_passages() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    index.put(&tenant("t"), document("a", false, &[("x", "y"); 6])).unwrap();
    let error = index.put(&tenant("t"), document("b", false, &[("x", "y"); 5])).unwrap_err();
    assert!(matches!(error, IndexError::TooMany(11, 10)), "{error}");
    assert!(index.put(&tenant("t"), document("a", false, &[("x", "y"); 10])).unwrap(), "the old one makes room");
}

#[test]
fn a_second_process_and_another_embedder_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", directory.path().display());
    let first = connect(&url, Path::new("/nowhere"), vectors(), LIMITS).unwrap();
    let again = connect(&url, Path::new("/nowhere"), vectors(), LIMITS).err().unwrap();
    assert!(matches!(again, IndexError::InUse(_)), "{again}");
    drop(first);
    let other = Vectors { embedder: "fastembed:x".into(), dimensions: 512 };
    let error = connect(&url, Path::new("/nowhere"), other, LIMITS).err().unwrap();
    assert!(error.to_string().contains("fastembed:x") && error.to_string().contains("hashing:v1"), "{error}");
    assert!(matches!(connect("http://x", Path::new("."), vectors(), LIMITS), Err(IndexError::NotBuilt(_))));
    assert!(matches!(connect("x", Path::new("."), vectors(), LIMITS), Err(IndexError::Unknown(_))));
}

#[test]
fn a_damaged_tenant_is_an_error_and_no_other_is_harmed() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).put(&tenant("t"), document("a", false, &[("x", "y")])).unwrap();
    std::fs::write(directory.path().join("tenants/t/meta.json"), b"{").unwrap();
    let index = open(directory.path());
    let error = index.list(&tenant("t")).unwrap_err();
    assert!(matches!(error, IndexError::Broken { .. }), "{error}");
    index.put(&tenant("u"), document("a", false, &[("x", "y")])).unwrap();
}

#[test]
fn a_tenant_whose_making_was_cut_short_starts_empty() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("tenants/t")).unwrap();
    std::fs::write(directory.path().join("tenants/t/.managed.json"), b"[]").unwrap();
    std::fs::write(directory.path().join("meta.json.new"), b"{\"for").unwrap();
    let index = open(directory.path());
    assert_eq!(search(&index, "t", "word"), Found::default());
    index.put(&tenant("t"), document("a", false, &[("x", "word")])).unwrap();
    assert_eq!(texts(&search(&index, "t", "word").by_text), ["word"]);
}

#[test]
fn a_search_sees_a_whole_document_or_none_of_it_while_it_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let version = |n: usize| document("a", false, &[("x", ["even", "odd"][n % 2]); 4]);
    index.put(&tenant("t"), version(0)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..12).for_each(|n| assert!(index.put(&tenant("t"), version(n)).unwrap())));
        let mut searches = 0;
        while !writer.is_finished() || searches == 0 {
            let found = search(&index, "t", "even odd");
            let (by_text, by_vector) = (texts(&found.by_text), texts(&found.by_vector));
            assert_eq!((by_text.len(), &by_text), (4, &by_vector));
            assert!(by_text.iter().all(|text| *text == by_text[0]));
            searches += 1;
        }
    });
}
