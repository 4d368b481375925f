use super::*;
use protocol::DocumentId;

fn passage(document: &str, chunk: u32, text: &str, score: f32) -> Passage {
    Passage { document: DocumentId::parse(document).unwrap(), chunk, title: document.into(), text: text.into(), score }
}

fn rank(passages: Vec<Passage>, question: &str, top: usize) -> Ranked {
    let mut by_text = passages.clone();
    by_text.iter_mut().for_each(|passage| passage.score *= 10.0);
    Ranker::new("hashing:v1").rank(Found { by_vector: passages, by_text }, question, top)
}

#[test]
fn neighbours_are_one_passage_and_repeats_are_dropped() {
    let found = vec![
        passage("guide", 4, "The light turns amber. That means no internet.", 0.9),
        passage("copy", 0, "That means no internet: the light turns amber.", 0.85),
        passage("copy", 7, "The light turns amber. That means no internet!", 0.8),
        passage("guide", 5, "That means no internet. Local control works.", 0.7),
        passage("other", 1, "Something else altogether is said here.", 0.6),
        passage("guide", 3, "The hub shows its state. The light turns amber.", 0.5),
        passage("guide", 9, "Far away in the same document.", 0.4),
    ];
    let ranked = rank(found, "amber light", 3);
    let kept: Vec<_> = ranked.passages.iter().map(|p| (p.document.as_str(), p.chunk)).collect();
    assert_eq!(kept, [("guide", 3), ("copy", 0), ("other", 1)]);
    assert_eq!(
        ranked.passages[0].text,
        "The hub shows its state. The light turns amber.\nThat means no internet.\nLocal control works."
    );
}

#[test]
fn passages_that_hold_the_question_are_likelier_to_answer_it() {
    let found = |score| {
        vec![
            passage("a", 0, "An amber light means that there is no internet.", score),
            passage("b", 0, "Parcels.", 0.1),
        ]
    };
    let answered = rank(found(0.8), "What does the amber light mean?", 5);
    let beside = rank(found(0.3), "What does the purple siren cost?", 5);
    assert!(answered.confidence > beside.confidence + 0.3, "{} {}", answered.confidence, beside.confidence);
}

#[test]
fn nothing_found_answers_nothing() {
    assert_eq!(rank(Vec::new(), "anything", 5), Ranked::default());
}
