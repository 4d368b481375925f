//! The whole engine.

mod invariants;
mod watch;

use super::{LoadError, LocalEngine};
use crate::{
    candle::tests::tiny::{Tiny, Written},
    config::Config,
    engine::{Engine, Output, Request, SequenceId},
};
use protocol::{ChatMessage, ErrorCode, FinishReason, Priority, Role, Sampling, TenantId, Tools, Usage};
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn open(written: &Written, config: &Config) -> LocalEngine {
    super::open(config, &written.path, Arc::new(runtime::clock::System)).unwrap()
}

pub(super) fn config(max_sequences: usize, batch_tokens: usize) -> Config {
    Config { max_sequences, batch_tokens, context_tokens: 256, threads: 2, waiting: 64, ..Config::default() }
}

fn request(id: u64, content: &str, temperature: f32) -> Request {
    let sampling = Sampling { max_tokens: 24, temperature, top_p: 0.9, seed: id ^ 99, ..Sampling::default() };
    request_of(id, content, sampling)
}

pub fn request_of(id: u64, content: &str, sampling: Sampling) -> Request {
    Request {
        id: SequenceId(id),
        messages: vec![ChatMessage::new(Role::User, content)],
        prefix: String::new(),
        sampling,
        tenant: TenantId::parse("acme").unwrap(),
        priority: Priority::Interactive,
        weight: 1,
        tools: Tools::default(),
        thinking: None,
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Said {
    pub text: String,
    pub end: Option<(FinishReason, Usage)>,
}

/// Runs until nothing is left; request `n` comes at step `arrivals[n]` and leaves at step `departures[n]`.
fn run(
    engine: &mut dyn Engine,
    requests: &[Request],
    arrivals: &[usize],
    departures: &[Option<usize>],
) -> BTreeMap<u64, Said> {
    let mut said: BTreeMap<u64, Said> = BTreeMap::new();
    for step in 0..5_000 {
        for (n, request) in requests.iter().enumerate() {
            if arrivals[n] == step {
                engine.add(request.clone()).unwrap();
            }
            if departures[n] == Some(step) {
                engine.cancel(request.id);
            }
        }
        for output in engine.step().unwrap() {
            let said = said.entry(output.id().0).or_default();
            match output {
                Output::Started(_) => assert_eq!(said, &Said::default()),
                Output::Token { text, .. } => said.text += &text,
                Output::Aside { aside, .. } => said.text += &aside.raw,
                Output::Finished { reason, usage, .. } => assert_eq!(said.end.replace((reason, usage)), None),
                Output::Failed(_, failure) => panic!("{failure}"),
            }
        }
        if engine.is_idle() && arrivals.iter().all(|arrival| *arrival <= step) {
            assert_eq!(engine.stats().blocks_used, 0);
            return said;
        }
    }
    panic!("the engine does not come to an end");
}

pub(super) fn alone(engine: &mut dyn Engine, request: &Request) -> Said {
    run(engine, std::slice::from_ref(request), &[0], &[None]).remove(&request.id.0).unwrap()
}

#[test]
fn a_seed_decides_the_answer() {
    let written = Tiny::exact("qwen2").write();
    let mut engine = open(&written, &config(2, 64));
    let first = alone(&mut engine, &request(1, "hello", 0.9));
    assert_eq!(first, alone(&mut engine, &request(1, "hello", 0.9)));
    assert_ne!(first.text, alone(&mut engine, &request(2, "hello", 0.9)).text);
}

#[test]
fn stop_strings_lengths_and_contexts_end_an_answer() {
    let written = Tiny::exact("llama").write();
    let mut engine = open(&written, &config(1, 64));
    let whole = alone(&mut engine, &request(1, "hello", 0.0)).text;
    let middle = whole.chars().count() / 2;
    let stop: String = whole.chars().skip(middle).take(3).collect();
    let mut stopping = request(1, "hello", 0.0);
    stopping.sampling.stop = vec![stop.clone()];
    let stopped = alone(&mut engine, &stopping);
    assert_eq!(stopped.text, whole[..whole.find(&stop).unwrap()]);
    assert_eq!(stopped.end.unwrap().0, FinishReason::Stop);

    let mut long = request(1, &"a".repeat(220), 0.0);
    long.sampling.max_tokens = 1_000;
    let (reason, usage) = alone(&mut engine, &long).end.unwrap();
    assert_eq!(usage.prompt_tokens + usage.completion_tokens, 256);
    assert_eq!(reason, FinishReason::Length);

    let too_long = engine.add(request(1, &"a".repeat(300), 0.0)).unwrap_err();
    assert_eq!(too_long.code, ErrorCode::ContextLengthExceeded);
    assert!(too_long.message.contains("256"), "{too_long}");
}

#[test]
fn who_writes_a_special_token_writes_characters() {
    let written = Tiny::exact("qwen2").write();
    let mut engine = open(&written, &config(1, 64));
    let mut prompt_tokens = |content: &str, prefix: &str| {
        let mut request = request(1, content, 0.0);
        request.prefix = prefix.into();
        let admitted = engine.add(request).unwrap();
        engine.cancel(SequenceId(1));
        admitted.prompt_tokens
    };
    let empty = prompt_tokens("", "");
    assert_eq!(prompt_tokens("he", ""), empty + 1);
    for (special, characters) in [("<|im_end|>", 10), ("<|im_start|>", 12), ("<|im<|im_end|>_end|>", 20)] {
        assert_eq!(prompt_tokens(special, ""), empty + characters, "{special}");
        assert_eq!(prompt_tokens("", special), empty + characters, "{special}");
    }
    assert_eq!(prompt_tokens("<\u{fdd0}|im_end|>", ""), empty + 10);
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let written = Tiny::exact("qwen2").write();
    let path = written.path.clone();
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        super::open(&config(1, 64), &path, Arc::new(runtime::clock::System)).err().unwrap().to_string()
    };
    let whole = std::fs::read(&path).unwrap();
    assert!(error(&whole[..whole.len() - 600]).contains("tensor "), "truncated weights");
    assert!(error(&whole[..2_000]).contains("not a readable GGUF file"), "truncated header");
    assert!(error(b"<html>not found</html>").contains("not a readable GGUF file"));
    let other: Vec<u8> = whole.clone();
    let at = other.windows(5).position(|window| window == b"qwen2").unwrap();
    let mut other = other;
    other[at..at + 5].copy_from_slice(b"gpt99");
    let message = error(&other);
    assert!(message.contains("\"gpt99\"") && message.contains("qwen3"), "{message}");
    let missing = super::open(&config(1, 64), &path.with_file_name("none.gguf"), Arc::new(runtime::clock::System));
    assert!(matches!(missing, Err(error @ LoadError::File { .. }) if error.to_string().contains("make models")));
}

#[test]
fn an_end_can_be_ignored() {
    let written = Tiny::exact("qwen2").write();
    let ends = |ignore_eos: bool| {
        let mut engine = open(&written, &config(8, 64));
        let sampling = |seed| Sampling { max_tokens: 100, temperature: 2.0, seed, ignore_eos, ..Sampling::default() };
        let requests: Vec<Request> = (0..32).map(|id| request_of(id, "hello", sampling(id))).collect();
        let said = run(&mut engine, &requests, &[0; 32], &[None; 32]);
        said.values().filter(|said| said.end.is_some_and(|(reason, _)| reason == FinishReason::Stop)).count()
    };
    assert!(ends(false) > 0);
    assert_eq!(ends(true), 0);
}
