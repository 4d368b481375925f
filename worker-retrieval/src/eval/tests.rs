use super::*;
use crate::{
    Config,
    embed::{Embedder, HashingEmbedder},
    index::{self, Limits, Vectors},
};
use protocol::{DocumentFormat, TenantId};
use std::sync::Arc;

fn subject(data: &std::path::Path) -> Subject {
    let config = Config::default();
    let count = |text: &str| HashingEmbedder.count_tokens(text);
    let read = |name: &str, format, content: &str| Text::read(&config, &count, name, format, content).unwrap();
    let mut texts = vec![
        read("faq.csv", DocumentFormat::FaqCsv, "question,answer\nHow do I reset it?,Hold the button.\n"),
        read("a.md", DocumentFormat::Markdown, "# Lamp\n\nThe lamp is amber when the internet is gone.\n"),
    ];
    texts.extend(
        Text::read_lines(&config, &count, "{\"document\":\"b\",\"text\":\"Parcels arrive on Monday.\"}").unwrap(),
    );
    let vectors = Vectors { embedder: HashingEmbedder.id().into(), dimensions: HashingEmbedder.dimensions() };
    let limits = Limits { open_tenants: 4, tenant_passages: 100 };
    let index = index::connect("embedded:", None, data, vectors, limits).unwrap();
    Subject::new(&config, TenantId::parse("eval").unwrap(), Arc::new(HashingEmbedder), index, texts).unwrap()
}

fn case(question: &str, answers: &[(&str, &str)]) -> Case {
    let answer =
        |(document, contains): &(&str, &str)| Answer { document: (*document).into(), contains: (*contains).into() };
    Case { question: question.into(), lang: Lang::en(), answers: answers.iter().map(answer).collect() }
}

#[test]
fn questions_find_their_answers_in_every_mode() {
    let data = tempfile::tempdir().unwrap();
    let subject = subject(data.path());
    let cases = [
        case("Why is the lamp amber?", &[("a.md", "amber")]),
        case("When do parcels arrive?", &[("b", "")]),
        case("Why is the lamp amber?", &[("b", "amber")]),
        case("Who are you?", &[]),
    ];
    for report in evaluate(&subject, &cases).unwrap() {
        let score = report.overall;
        assert_eq!((score.questions, score.hit_at_1), (3, 2.0 / 3.0), "{report}");
        assert_eq!(report.missed.len(), 1, "{report}");
    }
    let counts = abstention(&subject, &[case("How do I reset it", &[("faq.csv", "Hold")])], 0.5, 0.9).unwrap();
    assert_eq!((counts.curated_right, counts.curated_wrong, counts.wrongly_abstained), (1, 0, 0));
    let judged = judgements(&subject, &cases[3..]).unwrap();
    assert!(judged.iter().any(|judgement| judgement.curated) && judged.iter().all(|judgement| !judgement.right));
}

#[test]
fn means_count_what_was_not_found_and_each_answer_once() {
    let two = case("q", &[("a", "x"), ("a", "y")]);
    let one = case("p", &[("a", "x")]);
    let report = Report::new(Mode::Hybrid, &[&two, &one, &one], &[vec![true, false, true], vec![false, true], vec![]]);
    let Score { questions, hit_at_1, hit_at_5, mrr_at_10, ndcg_at_10, .. } = report.overall;
    assert_eq!((questions, hit_at_1, hit_at_5, mrr_at_10), (3, 1.0 / 3.0, 2.0 / 3.0, 0.5));
    let second = 1.0 / 3f64.log2();
    let expected = ((1.0 + 0.5) / (1.0 + second) + second) / 3.0;
    assert!((ndcg_at_10 - expected).abs() < 1e-9, "{ndcg_at_10} {expected}");
    assert_eq!(report.missed, [("p".into(), Some(2)), ("p".into(), None)]);
}

#[test]
fn a_bad_line_is_named() {
    assert!(parse("\n{\"question\":1}").unwrap_err().starts_with("line 2"));
}
