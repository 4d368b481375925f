//! The real embedder, where its files are.

use crate::tenant;
use protocol::DocumentFormat;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use worker_retrieval::{
    Config, embed,
    eval::{Case, Report, Subject, Text, evaluate, parse},
    index::{self, Limits, Vectors},
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/demo");

const CHINESE: &str = "bge-small-zh-v1.5";
const ENGLISH: &str = "all-MiniLM-L6-v2";

/// Where the models are; `None`, and a word about it, when one of `names` is not there.
fn models(names: &[&str]) -> Option<PathBuf> {
    let directory = match std::env::var_os("FRONTDESK_MODELS_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(&std::env::var_os("HOME")?).join(".cache/frontdesk/models"),
    };
    let missing = names.iter().find(|name| !directory.join(name).join("model.onnx").exists());
    if let Some(name) = missing {
        eprintln!("SKIPPED: no {name} in {}; `make models` fetches it", directory.display());
    }
    missing.is_none().then_some(directory)
}

/// The demo tenant's documents with the vectors of `embedder`.
fn demo(embedder: &str, models: &Path, data: &Path) -> Subject {
    let config = Config::default();
    let embedder = embed::connect(embedder, models, 0).unwrap();
    let count = |text: &str| embedder.count_tokens(text);
    let read = |(name, format, content): (String, DocumentFormat, String)| {
        Text::read(&config, &count, &name, format, &content).unwrap()
    };
    let started = Instant::now();
    let texts: Vec<Text> = documents().into_iter().map(read).collect();
    let passages: usize = texts.iter().map(|text| text.passages.len()).sum();
    let vectors = Vectors { embedder: embedder.id().into(), dimensions: embedder.dimensions() };
    let index = index::connect("embedded:", None, data, vectors, Limits { open_tenants: 1, tenant_passages: 10_000 });
    let subject = Subject::new(&config, tenant("demo"), embedder, index.unwrap(), texts).unwrap();
    println!("{passages} passages in {:.1} s", started.elapsed().as_secs_f32());
    subject
}

fn cases(file: &str) -> Vec<Case> {
    parse(&std::fs::read_to_string(format!("{DEMO}/{file}")).unwrap()).unwrap()
}

/// What is measured on the demo tenant's questions, printed for every way to rank; what a customer gets is returned.
fn measured(subject: &Subject) -> Report {
    let mut reports = evaluate(subject, &cases("questions.jsonl")).unwrap();
    reports.iter().for_each(|report| println!("{report}"));
    let given = reports.pop().unwrap();
    println!("not first: {:?}", given.missed);
    given
}

#[test]
fn a_missing_model_or_library_is_named_with_the_command_that_fetches_it() {
    let empty = tempfile::tempdir().unwrap();
    let error = embed::connect("fastembed:bge-small-zh-v1.5", empty.path(), 1).err().unwrap().to_string();
    assert!(error.contains("bge-small-zh-v1.5/model.onnx") && error.contains("make models"), "{error}");
}

#[test]
fn meaning_brings_texts_together_and_neighbours_do_not_change_a_vector() {
    let Some(models) = models(&[CHINESE]) else { return };
    let embedder = embed::connect("fastembed:bge-small-zh-v1.5", &models, 0).unwrap();
    let texts = ["如何重置密码？", "忘记了登录口令怎么办", "满 99 元包邮，两天送达"];
    let vectors = embedder.embed_passages(&texts).unwrap();
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    assert_eq!((embedder.dimensions(), vectors[0].len()), (512, 512));
    assert!((cosine(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-4);
    assert!(cosine(&vectors[0], &vectors[1]) > cosine(&vectors[0], &vectors[2]) + 0.1);
    assert_eq!(embedder.embed_passages(&texts[2..]).unwrap()[0], vectors[2]);
    assert_eq!(embedder.count_tokens("如何重置密码？"), 7);
}

#[test]
fn the_demo_tenants_chinese_questions_find_their_answers() {
    let Some(models) = models(&[CHINESE]) else { return };
    let data = tempfile::tempdir().unwrap();
    let subject = demo(&format!("fastembed:{CHINESE}"), &models, data.path());
    // A little less than this model reaches, so that a question more may be hard.
    let chinese = measured(&subject).languages["zh"];
    assert!(chinese.hit_at_1 >= 0.9 && chinese.hit_at_5 >= 0.95, "{chinese:?}");
    find_the_curated_answer(&subject);
}

#[test]
fn with_a_model_per_language_both_find_their_answers_and_know_what_they_do_not_know() {
    let Some(models) = models(&[CHINESE, ENGLISH]) else { return };
    let data = tempfile::tempdir().unwrap();
    let subject = demo(&format!("fastembed:{CHINESE}+{ENGLISH}"), &models, data.path());
    let report = measured(&subject);
    assert!(report.languages["zh"].hit_at_1 >= 0.9 && report.languages["en"].hit_at_5 >= 0.85, "{report}");
    find_the_curated_answer(&subject);
}

fn find_the_curated_answer(subject: &Subject) {
    for query in ["如何重置密码?", "How do I reset my password?"] {
        let (_, faq) = subject.answer(query, 5).unwrap();
        let faq = faq.unwrap();
        assert_eq!((faq.question.as_str(), faq.confidence), (query, 1.0));
        assert!(faq.score > 0.99, "{}", faq.score);
    }
}

fn documents() -> Vec<(String, DocumentFormat, String)> {
    let mut files: Vec<PathBuf> = [DEMO.to_owned(), format!("{DEMO}/docs")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    files.sort();
    let documents = files.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let format = match path.extension()?.to_str()? {
            "csv" => DocumentFormat::FaqCsv,
            "md" if name != "README.md" => DocumentFormat::Markdown,
            _ => return None,
        };
        Some((name, format, std::fs::read_to_string(path).unwrap()))
    });
    documents.collect()
}
