//! On the hashing embedder, whose vectors know words only.

use super::*;
use crate::embed::{Embedder, HashingEmbedder};
use protocol::DocumentId;
use std::time::{Duration, Instant};

fn entry(position: u32, wordings: &[&str], answer: &str) -> FaqEntry {
    FaqEntry {
        document: DocumentId::parse("faq").unwrap(),
        position,
        question: wordings[0].into(),
        variants: wordings[1..].iter().map(|text| (*text).into()).collect(),
        answer: answer.into(),
        vectors: HashingEmbedder.embed_passages(wordings).unwrap(),
    }
}

fn engine() -> FaqEngine {
    let entries = vec![
        entry(0, &["如何重置密码?", "忘记密码怎么办"], "点“忘记密码”。"),
        entry(1, &["How do I track my parcel?", "Where is my order?"], "Open My orders."),
        entry(2, &["How do I return a lamp?"], "Choose Return."),
    ];
    FaqEngine::new(entries, HashingEmbedder.id())
}

fn best(engine: &FaqEngine, text: &str) -> FaqMatch {
    let vector = HashingEmbedder.embed_queries(&[text]).unwrap().remove(0);
    engine.best(text, &vector).unwrap()
}

#[test]
fn a_wording_is_certain_whatever_its_form() {
    let engine = engine();
    for (text, position) in [("如何重置密码？", 0), (" where is my ORDER", 1), ("ＨＯＷ do I return a lamp", 2)]
    {
        let found = best(&engine, text);
        assert_eq!((found.chunk, found.confidence), (position, 1.0), "{text}");
    }
    assert_eq!(best(&engine, "忘记密码怎么办").question, "如何重置密码?", "a variant gives the question it varies");
}

#[test]
fn a_stranger_is_less_likely_than_a_relative() {
    let engine = engine();
    let close = best(&engine, "密码忘记了，重置密码如何做");
    let far = best(&engine, "上海明天的天气");
    assert_eq!(close.chunk, 0);
    assert!(close.confidence > far.confidence && far.confidence < 0.3, "{close:?} {far:?}");
}

#[test]
fn without_entries_there_is_no_match() {
    let engine = FaqEngine::new(Vec::new(), HashingEmbedder.id());
    assert!(engine.is_empty() && engine.best("anything", &[1.0]).is_none());
}

#[test]
fn words_name_what_meaning_overlooks() {
    let mut entries: Vec<_> = (0..20).map(|n| entry(n, &[&format!("topic {n}")], "a")).collect();
    entries.push(entry(20, &["What does E204 mean?"], "No free address."));
    let engine = FaqEngine::new(entries, HashingEmbedder.id());
    // A vector that knows nothing of the question leaves it to its words.
    let blank = vec![0.0; HashingEmbedder.dimensions()];
    let judged = engine.judge("E204 on the screen", &blank);
    assert!(judged.iter().any(|(found, features)| found.chunk == 20 && features.agreement == 1.0), "{judged:?}");
}

/// The promise is 1 ms in a release build; the bound leaves room for one without optimisation on a busy machine.
#[test]
fn a_thousand_entries_are_searched_at_once() {
    let entries =
        (0..1000).map(|n| entry(n, &[&format!("How do I do thing {n} with part {}?", n % 7)], "So.")).collect();
    let engine = FaqEngine::new(entries, HashingEmbedder.id());
    let vector = HashingEmbedder.embed_queries(&["thing 77"]).unwrap().remove(0);
    let time = |_| {
        let started = Instant::now();
        assert!(engine.best("How to do thing 77", &vector).is_some());
        started.elapsed()
    };
    let fastest = (0..20).map(time).min().unwrap();
    println!("one of 1,000 entries in {fastest:?}");
    assert!(fastest < Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 1 }), "{fastest:?}");
}
