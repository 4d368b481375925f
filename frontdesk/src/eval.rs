//! Measures retrieval on a folder of documents with questions, in an index of its own.

use crate::{cli::Eval, config::Config, ingest, print};
use anyhow::Context;
use protocol::TenantId;
use std::{io::Write as _, path::Path, time::Instant};
use worker_retrieval::{
    embed::{self, Embedder},
    eval::{self, Case, Report, Subject, Text},
    index::{self, Limits, Vectors},
};

/// What a folder holds for `eval`: no documents.
pub const FILES: [&str; 4] = [CORPUS, QUESTIONS, MORE[0], MORE[1]];
/// A corpus in one file, a JSON line `{"document", "text"}` each.
const CORPUS: &str = "corpus.jsonl";
const QUESTIONS: &str = "questions.jsonl";
/// Questions about the same documents, beside the first ones.
const MORE: [&str; 2] = ["more-questions.jsonl", "unanswerable.jsonl"];

/// Reads `args.folder`, asks every question that lies beside it, and prints how well each way to rank finds its answer, and
/// how well what is not known is told from what is.
pub fn run(config: &Config, args: &Eval) -> anyhow::Result<()> {
    let started = Instant::now();
    let scratch = tempfile::tempdir().context("a folder for the index")?;
    let subject = subject(config, args, scratch.path())?;
    print(&format!("read, embedded and indexed in {:.1} s\n", started.elapsed().as_secs_f64()))?;
    let mut all = cases(&args.folder.join(QUESTIONS))?;
    let started = Instant::now();
    let reports = eval::evaluate(&subject, &all)?;
    let ms = started.elapsed().as_secs_f64() * 1000.0 / all.len().max(1) as f64;
    print(&format!("{} questions, {ms:.1} ms each with their embedding\n\n{}\n", all.len(), Report::HEAD))?;
    reports.iter().try_for_each(|report| print(&report.to_string()))?;
    for name in MORE {
        let file = args.folder.join(name);
        all.extend(if file.exists() { cases(&file)? } else { Vec::new() });
    }
    if all.iter().any(|case| case.answers.is_empty()) {
        abstention(config, &subject, &all)?;
    }
    args.features.as_deref().map_or(Ok(()), |file| features(&subject, &all, file))
}

fn subject(config: &Config, args: &Eval, scratch: &Path) -> anyhow::Result<Subject> {
    let retrieval = &config.retrieval;
    let embedder = embed::connect(&retrieval.embedder, &config.models_dir, retrieval.threads)?;
    let vectors = Vectors { embedder: embedder.id().into(), dimensions: embedder.dimensions() };
    let limits = Limits { open_tenants: 1, tenant_passages: retrieval.max_tenant_passages };
    let index = index::connect(&args.index, args.index_key.as_deref(), scratch, vectors, limits)?;
    let texts = texts(config, &*embedder, &args.folder)?;
    Ok(Subject::new(retrieval, TenantId::parse("eval")?, embedder, index, texts)?)
}

fn texts(config: &Config, embedder: &dyn Embedder, folder: &Path) -> anyhow::Result<Vec<Text>> {
    let count = |text: &str| embedder.count_tokens(text);
    let corpus = folder.join(CORPUS);
    if corpus.exists() {
        return Ok(Text::read_lines(&config.retrieval, &count, &text(&corpus)?)?);
    }
    let documents = ingest::documents(&[folder.to_path_buf()])?.into_iter();
    documents
        .map(|file| Ok(Text::read(&config.retrieval, &count, &base_name(&file.path), file.format, &text(&file.path)?)?))
        .collect()
}

/// Every second question was held out when the calibration was fitted, so that only those measure it.
fn abstention(config: &Config, subject: &Subject, cases: &[Case]) -> anyhow::Result<()> {
    let (floor, faq) = (config.session.abstain_below, config.session.faq_confidence);
    for lang in ["zh", "en"] {
        for (part, name) in ["fitted on", "held out"].into_iter().enumerate() {
            let chosen = cases.iter().filter(|case| case.lang.as_str() == lang).enumerate();
            let chosen: Vec<Case> = chosen.filter(|(at, _)| at % 2 == part).map(|(_, case)| case.clone()).collect();
            let counts = eval::abstention(subject, &chosen, floor, faq)?;
            print(&format!("\n{lang}, {name} (abstains below {floor}, curated at once from {faq})\n{counts}"))?;
        }
    }
    Ok(())
}

fn features(subject: &Subject, cases: &[Case], file: &Path) -> anyhow::Result<()> {
    let mut out = std::fs::File::create(file).with_context(|| file.display().to_string())?;
    for judgement in eval::judgements(subject, cases)? {
        writeln!(out, "{}", serde_json::to_string(&judgement)?)?;
    }
    Ok(())
}

fn cases(file: &Path) -> anyhow::Result<Vec<Case>> {
    eval::parse(&text(file)?).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

/// As the questions name a document: without its folder.
fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}
