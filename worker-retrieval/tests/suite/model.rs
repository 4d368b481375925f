//! The real embedder, where its files are.

use crate::tenant;
use protocol::{DocumentFormat, Event, KnowledgeJob, Lang, RetrievalJob};
use runtime::clock::System;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use worker_retrieval::{
    Config, Dirs, Mode, Retrieval, embed,
    eval::{evaluate, parse},
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/demo");

fn models() -> Option<PathBuf> {
    let directory = match std::env::var_os("FRONTDESK_MODELS_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(&std::env::var_os("HOME")?).join(".cache/frontdesk/models"),
    };
    let found = directory.join("bge-small-zh-v1.5/model.onnx").exists();
    if !found {
        eprintln!("SKIPPED: no embedder in {}; `make models` fetches it", directory.display());
    }
    found.then_some(directory)
}

fn open(models: PathBuf, data: &Path) -> Retrieval {
    Retrieval::open(&Config::default(), &Dirs { data: data.into(), models }, Arc::new(System)).unwrap()
}

#[test]
fn a_missing_model_or_library_is_named_with_the_command_that_fetches_it() {
    let empty = tempfile::tempdir().unwrap();
    let error = embed::connect("fastembed:bge-small-zh-v1.5", empty.path(), 1).err().unwrap().to_string();
    assert!(error.contains("bge-small-zh-v1.5/model.onnx") && error.contains("make models"), "{error}");
}

#[test]
fn meaning_brings_texts_together_and_neighbours_do_not_change_a_vector() {
    let Some(models) = models() else { return };
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
fn the_demo_tenants_questions_find_their_answers() {
    let Some(models) = models() else { return };
    let data = tempfile::tempdir().unwrap();
    let retrieval = open(models, data.path());
    let demo = tenant("demo");
    let started = Instant::now();
    let mut passages = 0;
    for (name, format, content) in documents() {
        let Event::Ingested(report) = retrieval.apply(&demo, KnowledgeJob::Put { name, format, content }).unwrap()
        else {
            panic!("no report")
        };
        assert_eq!(report.warnings, Vec::<String>::new());
        passages += report.document.passages;
    }
    println!("{passages} passages in {:.1} s", started.elapsed().as_secs_f32());
    let cases = parse(&std::fs::read_to_string(format!("{DEMO}/questions.jsonl")).unwrap()).unwrap();
    for mode in [Mode::Bm25, Mode::Vectors, Mode::Hybrid] {
        let report = evaluate(&retrieval, &demo, &cases, mode).unwrap();
        println!("{report}");
        if mode == Mode::Hybrid {
            // What this embedder reached when it was chosen, less a little for a change of the questions.
            let chinese = report.languages["zh"];
            assert!(chinese.hit_at_5 >= 0.9 && chinese.mrr_at_10 >= 0.8, "{report}");
            assert!(report.overall.hit_at_5 >= 0.75 && report.overall.mrr_at_10 >= 0.6, "{report}");
        }
    }
    for (query, lang) in [("如何重置密码?", Lang::zh()), ("How do I reset my password?", Lang::en())] {
        let job = RetrievalJob { query: query.into(), lang, top_k: 5 };
        let faq = retrieval.search(&demo, &job).unwrap().faq.unwrap();
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
