//! `frontdesk bench retrieval`: the index at some sizes, the embedder, and the same passages in Meilisearch.

mod corpus;
mod server;

use crate::{cli::RetrievalBench, config::Config, print};
use anyhow::Context;
use corpus::{Corpus, Question};
use protocol::{KnowledgeVersion, TenantId};
use server::Server;
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use worker_retrieval::{
    embed::{self, Embedder},
    index::{self, Limits, Query, SearchIndex, Vectors},
};

/// The same passages in every run.
const SEED: u64 = 5;
/// Documents that go to the index at once.
const BATCH: usize = 32;
/// Questions before those that count.
const WARM: usize = 50;
/// Passages that are asked for.
const CANDIDATES: usize = 50;
const VERSION: KnowledgeVersion = KnowledgeVersion(1);

/// Measures and prints a table.
pub fn run(config: &Config, bench: &RetrievalBench) -> anyhow::Result<()> {
    let retrieval = &config.retrieval;
    let embedder = embed::connect(&retrieval.embedder, &config.models_dir, retrieval.threads)?;
    embeddings(&*embedder, bench.texts, retrieval.batch)?;
    print(
        "\nindex        passages  indexed s  search p50 ms  p99 ms  embed p50 ms  p99 ms  both p50 ms  p99 ms   RSS MiB  disk MiB\n",
    )?;
    for &passages in &bench.passages {
        let home = tempfile::tempdir().context("temporary directory")?;
        let url = format!("embedded:{}", home.path().join("index").display());
        let desk = Desk { embedder: &embedder, passages, questions: bench.questions };
        let mine = || resident(None);
        desk.measure("embedded", &mut || desk.open(&url, None), &mine, Some(home.path()))?;
        if let Some(choice) = &bench.meilisearch {
            let home = tempfile::tempdir().context("temporary directory")?;
            let server = Server::open(choice, bench.meilisearch_key.as_deref(), home.path())?;
            let its = || server.pid().map_or(0, |pid| resident(Some(pid)));
            let mut open = || desk.open(&server.url, server.key.as_deref());
            desk.measure("meilisearch", &mut open, &its, server.data())?;
        }
    }
    Ok(())
}

/// Prints embeddings per second, one by one and in batches.
fn embeddings(embedder: &dyn Embedder, texts: usize, batch: usize) -> anyhow::Result<()> {
    let mut corpus = Corpus::new(SEED, embedder)?;
    let texts: Vec<String> = (0..texts).map(|number| corpus.text(number)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rate = |size: usize| -> anyhow::Result<f64> {
        let began = Instant::now();
        texts.chunks(size).try_for_each(|texts| embedder.embed_passages(texts).map(|_| ()))?;
        Ok(texts.len() as f64 / began.elapsed().as_secs_f64())
    };
    rate(texts.len())?;
    let (single, batched) = (rate(1)?, rate(batch)?);
    let name = embedder.id();
    print(&format!("{name}: {single:.1} embeddings/s one by one, {batched:.1} in batches of {batch}\n"))
}

/// What is measured of every index.
struct Desk<'a> {
    embedder: &'a Arc<dyn Embedder>,
    passages: usize,
    questions: usize,
}

impl Desk<'_> {
    fn open(&self, url: &str, key: Option<&str>) -> anyhow::Result<Box<dyn SearchIndex>> {
        let vectors = Vectors { embedder: self.embedder.id().into(), dimensions: self.embedder.dimensions() };
        let limits = Limits { open_tenants: 4, tenant_passages: usize::MAX };
        Ok(index::connect(url, key, Path::new("."), vectors, limits)?)
    }

    /// Fills an index, opens it again, asks it, and prints a line.
    fn measure(
        &self,
        name: &str,
        open: &mut dyn FnMut() -> anyhow::Result<Box<dyn SearchIndex>>,
        memory: &dyn Fn() -> u64,
        data: Option<&Path>,
    ) -> anyhow::Result<()> {
        let tenant = TenantId::parse("bench")?;
        let mut corpus = Corpus::new(SEED, &**self.embedder)?;
        let before = memory();
        let indexed = self.fill(&*open()?, &tenant, &mut corpus)?;
        let index = open()?;
        let mut times = Times::default();
        for number in 0..WARM + self.questions {
            let asked = times.ask(&*index, &tenant, &**self.embedder, &corpus.question(number))?;
            if number >= WARM {
                times.count(asked);
            }
        }
        let added = memory().saturating_sub(if name == "embedded" { before } else { 0 });
        let [search, embed, both] =
            [&mut times.search, &mut times.embed, &mut times.both].map(|times| percentiles(times));
        let disk = data.map(size).transpose()?.unwrap_or(0);
        index.clear(&tenant)?;
        let mebi = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        print(&format!(
            "{name:<11} {:>9} {:>10.1} {:>14.2} {:>7.2} {:>13.2} {:>7.2} {:>12.2} {:>7.2} {:>9.0} {:>9.0}\n",
            self.passages,
            indexed.as_secs_f64(),
            search[0],
            search[1],
            embed[0],
            embed[1],
            both[0],
            both[1],
            mebi(added),
            mebi(disk),
        ))
    }

    /// Time that the index took for all passages.
    fn fill(&self, index: &dyn SearchIndex, tenant: &TenantId, corpus: &mut Corpus) -> anyhow::Result<Duration> {
        index.undo(tenant, KnowledgeVersion(0))?;
        let (mut passages, mut took) = (0, Duration::ZERO);
        while passages < self.passages {
            let documents = (0..BATCH).map(|_| corpus.document()).collect::<anyhow::Result<Vec<_>>>()?;
            passages += documents.iter().map(|document| document.passages.len()).sum::<usize>();
            let began = Instant::now();
            index.add(tenant, VERSION, documents)?;
            took += began.elapsed();
        }
        let began = Instant::now();
        index.seal(tenant, VERSION)?;
        Ok(took + began.elapsed())
    }
}

/// Milliseconds of each question.
#[derive(Default)]
struct Times {
    search: Vec<f64>,
    embed: Vec<f64>,
    both: Vec<f64>,
}

impl Times {
    /// Embeds a question and searches; milliseconds of each.
    fn ask(
        &self,
        index: &dyn SearchIndex,
        tenant: &TenantId,
        embedder: &dyn Embedder,
        question: &Question,
    ) -> anyhow::Result<[f64; 2]> {
        let began = Instant::now();
        embedder.embed_queries(&[&question.text])?;
        let embed = began.elapsed();
        let query = Query { text: &question.text, vector: &question.vector, candidates: CANDIDATES };
        index.search(tenant, VERSION, query)?;
        Ok([embed, began.elapsed() - embed].map(|time| time.as_secs_f64() * 1000.0))
    }

    fn count(&mut self, [embed, search]: [f64; 2]) {
        self.embed.push(embed);
        self.search.push(search);
        self.both.push(embed + search);
    }
}

/// The 50th and the 99th percentile.
fn percentiles(times: &mut [f64]) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [50, 99]
        .map(|part| times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(0.0))
}

/// Memory of a process, or this one, in bytes; 0 where there is no `/proc`.
fn resident(pid: Option<u32>) -> u64 {
    let path = pid.map_or_else(|| "/proc/self/status".into(), |pid| format!("/proc/{pid}/status"));
    let status = fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kibi| kibi.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes of all files in a directory.
fn size(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { size(&entry.path())? } else { std::os::unix::fs::MetadataExt::blocks(&meta) * 512 };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use worker_retrieval::embed::HashingEmbedder;

    #[test]
    fn a_small_corpus_is_measured_and_is_the_same_each_time() {
        let embedder: Arc<dyn Embedder> = Arc::new(HashingEmbedder);
        let home = tempfile::tempdir().unwrap();
        let desk = Desk { embedder: &embedder, passages: 64, questions: 4 };
        let url = format!("embedded:{}", home.path().display());
        desk.measure("embedded", &mut || desk.open(&url, None), &|| resident(None), Some(home.path())).unwrap();
        let document = || Corpus::new(SEED, &HashingEmbedder).unwrap().document().unwrap();
        assert_eq!(document().passages[0].text, document().passages[0].text);
        let vector = &document().passages[0].vector;
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut times: Vec<f64> = (0..200).rev().map(f64::from).collect();
        assert_eq!(percentiles(&mut times), [100.0, 198.0]);
        assert_eq!(percentiles(&mut []), [0.0, 0.0]);
    }
}
