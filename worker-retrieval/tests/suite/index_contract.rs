//! What every backend of the index port promises.

use crate::tenant;
use protocol::{DocumentId, KnowledgeVersion, Passage};
use worker_retrieval::{
    embed::{Embedder, HashingEmbedder},
    index::{Found, IndexError, Limits, NewDocument, NewPassage, Query, SearchIndex, Vectors},
};

pub const LIMITS: Limits = Limits { open_tenants: 2, tenant_passages: 10 };

pub fn vectors() -> Vectors {
    Vectors { embedder: HashingEmbedder.id().into(), dimensions: HashingEmbedder.dimensions() }
}

pub fn vector(text: &str) -> Vec<f32> {
    HashingEmbedder.embed_passages(&[text]).unwrap().remove(0)
}

pub fn id(text: &str) -> DocumentId {
    DocumentId::parse(text).unwrap()
}

pub fn v(version: u64) -> KnowledgeVersion {
    KnowledgeVersion(version)
}

/// A document whose passages are (title, text) pairs.
pub fn document(name: &str, passages: &[(&str, &str)]) -> NewDocument {
    let passages = passages.iter().map(|&(title, text)| NewPassage {
        title: title.into(),
        text: text.into(),
        vector: vector(&format!("{title} {text}")),
        question: Vec::new(),
    });
    NewDocument { id: id(name), passages: passages.collect() }
}

/// Publishes a version that takes documents out and brings others in.
pub fn build(index: &dyn SearchIndex, who: &str, version: u64, out: &[&str], new: Vec<NewDocument>) {
    let out: Vec<_> = out.iter().map(|name| id(name)).collect();
    index.remove(&tenant(who), v(version), &out).unwrap();
    index.add(&tenant(who), v(version), new).unwrap();
    index.seal(&tenant(who), v(version)).unwrap();
}

pub fn search(index: &dyn SearchIndex, who: &str, version: u64, text: &str) -> Found {
    let query = Query { text, vector: &vector(text), candidates: 5 };
    index.search(&tenant(who), v(version), query).unwrap()
}

fn behind(index: &dyn SearchIndex, who: &str, version: u64) -> u64 {
    let query = Query { text: "x", vector: &vector("x"), candidates: 5 };
    match index.search(&tenant(who), v(version), query) {
        Err(IndexError::Behind { asked, held }) if asked == v(version) => held.0,
        other => panic!("{other:?}"),
    }
}

pub fn texts(passages: &[Passage]) -> Vec<&str> {
    passages.iter().map(|passage| passage.text.as_str()).collect()
}

/// The texts of a version in any order, which both rankings must agree on.
pub fn all(index: &dyn SearchIndex, who: &str, version: u64, text: &str) -> Vec<String> {
    let found = search(index, who, version, text);
    let sorted = |passages| {
        let mut texts: Vec<String> = texts(passages).into_iter().map(str::to_owned).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(&found.by_text), sorted(&found.by_vector));
    sorted(&found.by_text)
}

fn finds_by_words_and_by_meaning_in_both_languages(index: &dyn SearchIndex) {
    let passages =
        [("退货", "七天内可以退货。"), ("配送", "满 99 元包邮。"), ("Shipping", "Parcels arrive in 2 days.")];
    build(index, "finds", 1, &[], vec![document("a", &passages)]);
    let found = search(index, "finds", 1, "怎么退货");
    assert_eq!(texts(&found.by_text), ["七天内可以退货。"]);
    assert_eq!((&found.by_vector[0].title, found.by_vector[0].chunk), (&"退货".to_owned(), 0));
    assert!(found.by_vector.is_sorted_by(|a, b| a.score >= b.score));
    let found = search(index, "finds", 1, "when will my PARCEL arrive?");
    assert_eq!(texts(&found.by_text), ["Parcels arrive in 2 days."], "by stems");
    assert_eq!((&found.by_text[0].document, found.by_text[0].chunk), (&id("a"), 2));
    assert_eq!(search(index, "finds", 1, "?? 的 the").by_text, [], "noise finds nothing");
}

fn a_curated_answer_is_as_close_as_the_closest_of_its_questions(index: &dyn SearchIndex) {
    let mut faq = document("f", &[("Reset password", "Tap it."), ("Open hours?", "reset password hours")]);
    faq.passages[0].question = vec![vector("Reset password"), vector("I forgot my login")];
    build(index, "faq", 1, &[], vec![faq, document("m", &[("login", "forgot")])]);
    let found = search(index, "faq", 1, "I forgot my login");
    assert_eq!(found.by_vector[0].text, "Tap it.");
    assert!(found.by_vector[0].score > 0.99 && found.by_vector[1].score < 0.9, "{found:?}");
    assert_eq!(found.by_vector.len(), 3, "each passage once");
}

fn a_version_is_seen_whole_or_not_at_all(index: &dyn SearchIndex) {
    assert_eq!((index.holds(&tenant("half")).unwrap(), behind(index, "half", 1)), (v(0), 0));
    assert_eq!(search(index, "half", 0, "word"), Found::default());
    build(index, "half", 1, &[], vec![document("a", &[("x", "word one"), ("y", "word two")])]);
    build(index, "half", 4, &["a", "unknown"], vec![document("a", &[("x", "word new")])]);
    assert_eq!(index.holds(&tenant("half")).unwrap(), v(4));
    index.remove(&tenant("half"), v(5), &[id("a")]).unwrap();
    index.add(&tenant("half"), v(5), vec![document("b", &[("x", "word b")])]).unwrap();
    assert_eq!((index.holds(&tenant("half")).unwrap(), behind(index, "half", 5)), (v(4), 4));
    assert_eq!(all(index, "half", 4, "word"), ["word new"], "an open build disturbs nobody");
    assert_eq!(all(index, "half", 1, "word"), ["word one", "word two"], "nor does a later version");
    index.add(&tenant("half"), v(5), vec![document("b", &[("x", "word c")])]).unwrap();
    index.seal(&tenant("half"), v(5)).unwrap();
    index.seal(&tenant("half"), v(5)).unwrap();
    assert_eq!(all(index, "half", 5, "word"), ["word c"], "the repeated document replaces the first");
    let late = index.add(&tenant("half"), v(5), vec![document("d", &[("x", "late")])]).unwrap_err();
    assert!(matches!(late, IndexError::Closed { .. }), "{late}");
}

fn what_came_to_nothing_is_undone(index: &dyn SearchIndex) {
    let t = tenant("undo");
    build(index, "undo", 1, &[], vec![document("a", &[("x", "word one")]), document("b", &[("x", "word b")])]);
    index.remove(&t, v(2), &[id("a")]).unwrap();
    index.add(&t, v(2), vec![document("c", &[("x", "word lost")])]).unwrap();
    index.undo(&t, v(1)).unwrap();
    build(index, "undo", 3, &[], vec![document("d", &[("x", "word d")])]);
    assert_eq!(all(index, "undo", 3, "word"), ["word b", "word d", "word one"]);
    build(index, "undo", 4, &["a", "b", "d"], vec![document("e", &[("x", "word e")])]);
    index.undo(&t, v(1)).unwrap();
    assert_eq!((index.holds(&t).unwrap(), behind(index, "undo", 4)), (v(1), 1));
    assert_eq!(all(index, "undo", 1, "word"), ["word b", "word one"]);
    build(index, "undo", 5, &["b"], vec![document("f", &[("x", "word f")])]);
    assert_eq!(all(index, "undo", 5, "word"), ["word f", "word one"]);
    index.undo(&t, v(0)).unwrap();
    assert_eq!((index.holds(&t).unwrap(), search(index, "undo", 0, "word")), (v(0), Found::default()));
}

fn what_nobody_sees_is_pruned(index: &dyn SearchIndex, versions: u64) {
    let text = |version: u64| ["word even", "word odd"][version as usize % 2];
    for version in 1..=versions {
        build(index, "prune", version, &["a"], vec![document("a", &[("x", text(version)); 3])]);
    }
    let (last, kept) = (versions, versions - 1);
    index.prune(&tenant("prune"), v(kept)).unwrap();
    assert_eq!(behind(index, "prune", kept - 1), last);
    assert_eq!(all(index, "prune", kept, "word"), [text(kept); 3]);
    assert_eq!(all(index, "prune", last, "word"), [text(last); 3]);
    build(index, "prune", last + 1, &["a"], vec![document("b", &[("x", "word b")])]);
    assert_eq!(all(index, "prune", last + 1, "word"), ["word b"]);
    index.undo(&tenant("prune"), v(kept)).unwrap();
    assert_eq!(all(index, "prune", kept, "word"), [text(kept); 3]);
    index.undo(&tenant("prune"), v(1)).unwrap();
    assert_eq!(index.holds(&tenant("prune")).unwrap(), v(0), "a base that was dropped leaves nothing");
}

fn tenants_do_not_see_each_other(index: &dyn SearchIndex) {
    for who in ["a", "b", "meta.json"] {
        build(index, who, 1, &[], vec![document("same", &[("secret", who)])]);
    }
    for who in ["a", "b", "meta.json"] {
        assert_eq!(all(index, who, 1, "secret"), [who]);
    }
    build(index, "a", 2, &["same"], vec![]);
    index.clear(&tenant("meta.json")).unwrap();
    assert_eq!((all(index, "a", 2, "secret"), all(index, "b", 1, "secret")), (vec![], vec!["b".to_owned()]));
    assert_eq!((index.holds(&tenant("meta.json")).unwrap(), behind(index, "meta.json", 1)), (v(0), 0));
    build(index, "meta.json", 1, &[], vec![document("same", &[("secret", "again")])]);
    assert_eq!(all(index, "meta.json", 1, "secret"), ["again"]);
}

fn many_use_it_at_once(index: &dyn SearchIndex) {
    std::thread::scope(|scope| {
        for worker in 0..3 {
            scope.spawn(move || {
                let who = format!("busy{worker}");
                for version in 1..=2 {
                    let name = format!("d{version}");
                    build(index, &who, version, &[], vec![document(&name, &[("x", "word")])]);
                    assert_eq!(all(index, &who, version, "word").len(), version as usize);
                }
            });
        }
    });
}

fn a_tenant_has_room_for_so_many_passages(index: &dyn SearchIndex) {
    let t = tenant("room");
    build(index, "room", 1, &[], vec![document("a", &[("x", "y"); 6])]);
    let error = index.add(&t, v(2), vec![document("b", &[("x", "y"); 5])]).unwrap_err();
    assert!(matches!(error, IndexError::TooMany(11, 10)), "{error}");
    index.undo(&t, v(1)).unwrap();
    build(index, "room", 3, &["a"], vec![document("a", &[("x", "y"); 10])]);
}

/// Every promise that needs nothing but the index itself; so many `versions` are made and pruned.
pub fn keeps_the_contract(index: &dyn SearchIndex, versions: u64) {
    finds_by_words_and_by_meaning_in_both_languages(index);
    a_curated_answer_is_as_close_as_the_closest_of_its_questions(index);
    a_version_is_seen_whole_or_not_at_all(index);
    what_came_to_nothing_is_undone(index);
    what_nobody_sees_is_pruned(index, versions);
    tenants_do_not_see_each_other(index);
    many_use_it_at_once(index);
    a_tenant_has_room_for_so_many_passages(index);
    index.check().unwrap();
}
