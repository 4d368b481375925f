//! What a sequence says, and every logit on the way, depends on its tokens alone: not on who is beside it, comes or
//! leaves, not on how its prompt is cut, not on which blocks its keys and values are in, not on whether they were
//! computed for it or found, and not on how often it had to give way.
//!
//! `FRONTDESK_TEST_CASES` sets how many cases each model gets, `FRONTDESK_TEST_SEED` other ones than those of every run.

use super::{
    Said, run,
    watch::{Seen, Watched},
};
use crate::{
    candle::{
        Builder, CpuRunner,
        tests::{golden, tiny::Tiny},
    },
    config::Config,
    engine::{Engine, Request, SequenceId},
    local::LocalEngine,
    text::Tokens,
    weights::Checkpoint,
};
use candle_core::quantized::GgmlDType;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use protocol::{ChatMessage, Priority, Role, Sampling, TenantId};
use std::{
    cell::RefCell,
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

/// Prompts share these beginnings.
const BEGINNINGS: [&str; 4] = [
    "",
    "please tell me",
    "you answer for a shop that sells",
    "you answer for a shop that sells tea and cups, and say nothing ",
];

/// A request and when it comes and leaves.
#[derive(Debug, Clone)]
struct Ask {
    words: Words,
    tenant: bool,
    urgent: bool,
    arrival: usize,
    leaves_after: Option<usize>,
}

/// What decides an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Words {
    beginning: usize,
    rest: String,
    warm: bool,
    seed: u64,
    max_tokens: u32,
}

#[derive(Debug, Clone)]
struct Case {
    asks: Vec<Ask>,
    max_sequences: usize,
    batch_tokens: usize,
    blocks: usize,
    threads: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let words = (0..BEGINNINGS.len(), "[a-z ]{0,24}", any::<bool>(), 0u64..3, 1u32..100);
    let words =
        words.prop_map(|(beginning, rest, warm, seed, max_tokens)| Words { beginning, rest, warm, seed, max_tokens });
    // Few words for many requests: some come again, when their blocks are known, half forgotten or just being computed.
    let ask = (
        any::<prop::sample::Index>(),
        any::<bool>(),
        any::<bool>(),
        0usize..24,
        prop::option::weighted(0.2, 0usize..50),
    );
    let asks = (prop::collection::vec(words, 1..8), prop::collection::vec(ask, 1..16)).prop_map(|(words, asks)| {
        let ask = |(which, tenant, urgent, arrival, leaves_after): (prop::sample::Index, _, _, _, _)| Ask {
            words: which.get(&words).clone(),
            tenant,
            urgent,
            arrival,
            leaves_after,
        };
        asks.into_iter().map(ask).collect()
    });
    (asks, 1usize..9, 9usize..90, 14usize..18, 1usize..4).prop_map(
        |(asks, max_sequences, batch_tokens, blocks, threads)| Case {
            asks,
            max_sequences,
            batch_tokens,
            blocks,
            threads,
        },
    )
}

/// A model, and what it said to whom alone.
struct Subject<'a> {
    path: &'a Path,
    seen: Arc<Mutex<Seen>>,
    quiet: RefCell<LocalEngine>,
    alone: RefCell<HashMap<Words, Said>>,
}

impl<'a> Subject<'a> {
    fn new(path: &'a Path) -> Self {
        let seen = Arc::default();
        let case = Case { asks: vec![], max_sequences: 1, batch_tokens: 512, blocks: 8, threads: 1 };
        let quiet = RefCell::new(engine(path, &case, &seen));
        Self { path, seen, quiet, alone: RefCell::default() }
    }

    /// What the model says when nobody else is there, nothing is cached, and the prompt is computed whole.
    fn alone(&self, words: &Words) -> Said {
        let mut alone = self.alone.borrow_mut();
        let number = alone.len() as u64;
        let say = || {
            let mut request = request(number, words);
            // Nobody else's blocks will do for a tenant who was never there.
            request.tenant = TenantId::parse(format!("t{number}")).unwrap();
            run(&mut *self.quiet.borrow_mut(), &[request], &[0], &[None]).remove(&number).unwrap()
        };
        alone.entry(words.clone()).or_insert_with(say).clone()
    }

    fn holds(&self, case: &Case, totals: &mut Totals) -> Result<(), TestCaseError> {
        let expected: Vec<Said> = case.asks.iter().map(|ask| self.alone(&ask.words)).collect();
        let mut engine = engine(self.path, case, &self.seen);
        let requests: Vec<Request> = (0..).zip(&case.asks).map(|(id, ask)| asked(id, ask)).collect();
        let arrivals: Vec<usize> = case.asks.iter().map(|ask| ask.arrival).collect();
        let leave = |ask: &Ask| ask.leaves_after.map(|steps| ask.arrival + steps);
        let departures: Vec<Option<usize>> = case.asks.iter().map(leave).collect();
        let said = run(&mut engine, &requests, &arrivals, &departures);
        for (n, expected) in expected.iter().enumerate() {
            match said.get(&(n as u64)) {
                Some(said) if said.end.is_some() => prop_assert_eq!(said, expected),
                Some(said) => prop_assert!(departures[n].is_some() && expected.text.starts_with(&said.text)),
                None => prop_assert!(departures[n].is_some()),
            }
        }
        totals.preemptions += engine.stats().preemptions;
        totals.found += engine.stats().prefix_tokens;
        let differences = &self.seen.lock().unwrap().differences;
        prop_assert!(differences.is_empty(), "logits differ after so many tokens: {:?}", differences);
        Ok(())
    }
}

#[derive(Default)]
struct Totals {
    preemptions: u64,
    /// Tokens that were not computed again.
    found: u64,
}

fn engine(path: &Path, case: &Case, seen: &Arc<Mutex<Seen>>) -> LocalEngine {
    let Case { max_sequences, threads, blocks, .. } = *case;
    let batch_tokens = case.batch_tokens.max(max_sequences);
    let config = Config { max_sequences, batch_tokens, context_tokens: 256, waiting: 64, ..Config::default() };
    let checkpoint = Checkpoint::open(path).unwrap();
    let shape = &checkpoint.shape;
    let clock = Arc::new(runtime::clock::System);
    let tokens = match checkpoint.metadata() {
        Some(metadata) => Tokens::from_gguf(metadata, clock),
        None => Tokens::from_directory(path, clock),
    };
    let model = Builder { path, checkpoint: &checkpoint }.model(256).unwrap();
    let bytes = blocks * shape.block_bytes(size_of::<f32>());
    let runner = Watched::new(CpuRunner::new(model, shape, bytes, threads).unwrap(), seen.clone());
    LocalEngine::new(&config, "tiny".into(), Box::new(runner), tokens.unwrap(), shape.context)
}

fn request(id: u64, words: &Words) -> Request {
    let content = format!("{}{}", BEGINNINGS[words.beginning], words.rest);
    let temperature = if words.warm { 0.8 } else { 0.0 };
    let sampling =
        Sampling { max_tokens: words.max_tokens, temperature, top_p: 0.9, seed: words.seed, ..Sampling::default() };
    Request { messages: vec![ChatMessage::new(Role::User, content)], ..super::request_of(id, "", sampling) }
}

fn asked(id: u64, ask: &Ask) -> Request {
    let tenant = TenantId::parse(if ask.tenant { "acme" } else { "globex" }).unwrap();
    let priority = if ask.urgent { Priority::Interactive } else { Priority::Batch };
    Request { id: SequenceId(id), tenant, priority, ..request(id, &ask.words) }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn nothing_else_matters(path: &Path) {
    let cases_to_try = number("FRONTDESK_TEST_CASES").map_or(16, |cases| cases as u32);
    let config = ProptestConfig { cases: cases_to_try, failure_persistence: None, ..Default::default() };
    // The same cases in every run: whether a change broke something must not depend on luck.
    let seed = number("FRONTDESK_TEST_SEED").unwrap_or(0);
    let seed: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(32).collect();
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (subject, totals) = (Subject::new(path), RefCell::new(Totals::default()));
    runner.run(&cases(), |case| subject.holds(&case, &mut totals.borrow_mut())).unwrap();
    let (seen, totals) = (subject.seen.lock().unwrap(), totals.borrow());
    let reached = [totals.preemptions, totals.found, seen.compared as u64, seen.shared as u64, seen.chunks as u64];
    assert!(reached.iter().all(|count| *count > 0), "the cases reach too little: {reached:?}");
    println!("preemptions, tokens found, logits compared, shared batches, chunks: {reached:?}");
}

#[test]
fn nothing_else_matters_in_bf16() {
    nothing_else_matters(&golden::dir("qwen3"));
}

#[test]
fn nothing_else_matters_in_f16() {
    nothing_else_matters(&golden::dir("qwen2"));
}

#[test]
fn nothing_else_matters_in_f32() {
    nothing_else_matters(&golden::dir("llama"));
}

#[test]
fn nothing_else_matters_in_blocks_of_eight_bits() {
    nothing_else_matters(&Tiny::quantized("qwen2", GgmlDType::Q8_0).write().path);
}

#[test]
fn nothing_else_matters_in_blocks_of_four_and_six_bits() {
    nothing_else_matters(&Tiny::quantized("llama", GgmlDType::Q4K).write().path);
    nothing_else_matters(&Tiny::quantized("qwen3", GgmlDType::Q6K).write().path);
}
