//! The real embedder, where its files are.

use crate::support::{stores, tenant};
use protocol::{DocumentFormat, Event, KnowledgeJob, Lang, RetrievalJob, Timestamp};
use runtime::clock::System;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use worker_retrieval::{
    Config, Dirs, Retrieval, embed,
    eval::{Mode, Report, evaluate, parse},
    read::Sandbox,
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

/// A retrieval with `embedder` that knows the demo tenant's documents.
async fn demo(embedder: &str, models: PathBuf, data: &Path) -> Retrieval {
    let config = Config { embedder: embedder.into(), ..Config::default() };
    let dirs = Dirs { data: data.into(), models, reader: Sandbox::InProcess };
    let retrieval = Retrieval::open(&config, &dirs, stores(data).await, Arc::new(System)).unwrap();
    let started = Instant::now();
    let mut passages = 0;
    for (name, format, content) in documents() {
        let job = KnowledgeJob::Put { name, format, content };
        let applied = retrieval.apply(&tenant(), Timestamp(u64::MAX), job).await.unwrap();
        let Event::Ingested(report) = applied else { panic!("no report") };
        assert_eq!(report.warnings, Vec::<String>::new());
        passages += report.document.passages;
    }
    println!("{embedder}: {passages} passages in {:.1} s", started.elapsed().as_secs_f32());
    retrieval
}

/// What is measured on the demo tenant's questions, printed for every way to rank; the fused one is returned.
async fn measured(retrieval: &Retrieval) -> Report {
    let cases = parse(&std::fs::read_to_string(format!("{DEMO}/questions.jsonl")).unwrap()).unwrap();
    for mode in [Mode::Bm25, Mode::Vectors] {
        println!("{}", evaluate(retrieval, &tenant(), &cases, mode).await.unwrap());
    }
    let hybrid = evaluate(retrieval, &tenant(), &cases, Mode::Hybrid).await.unwrap();
    println!("{hybrid}");
    println!("not first: {:?}", hybrid.missed);
    hybrid
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

#[tokio::test]
async fn the_demo_tenants_chinese_questions_find_their_answers() {
    let Some(models) = models(&[CHINESE]) else { return };
    let data = tempfile::tempdir().unwrap();
    let retrieval = demo(&format!("fastembed:{CHINESE}"), models, data.path()).await;
    // A little less than this model reaches, so that a question more may be hard.
    let chinese = measured(&retrieval).await.languages["zh"];
    assert!(chinese.hit_at_1 >= 0.9 && chinese.hit_at_5 >= 0.95, "{chinese:?}");
    find_the_curated_answer(&retrieval).await;
}

#[tokio::test]
async fn with_a_model_per_language_both_find_their_answers() {
    let Some(models) = models(&[CHINESE, ENGLISH]) else { return };
    let data = tempfile::tempdir().unwrap();
    let retrieval = demo(&format!("fastembed:{CHINESE}+{ENGLISH}"), models, data.path()).await;
    let report = measured(&retrieval).await;
    assert!(report.languages["zh"].hit_at_1 >= 0.9 && report.languages["en"].hit_at_5 >= 0.85, "{report}");
    find_the_curated_answer(&retrieval).await;
}

async fn find_the_curated_answer(retrieval: &Retrieval) {
    for (query, lang) in [("如何重置密码?", Lang::zh()), ("How do I reset my password?", Lang::en())] {
        let job = RetrievalJob::new(query, lang, 5);
        let faq = retrieval.search(&tenant(), &job).await.unwrap().faq.unwrap();
        assert_eq!(faq.question, query);
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
