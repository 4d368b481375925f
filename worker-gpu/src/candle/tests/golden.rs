//! The tiny models of `tests/models`: logits and answers are those of transformers.

use super::super::{Builder, Model, kv::KvCache};
use crate::{
    config::Config,
    engine::{Engine, Output},
    local::{self, Batch, tests::request_of},
    schedule::{BLOCK, BlockId},
    text::{Detokenizer, Tokens},
    weights::Checkpoint,
};
use protocol::{FinishReason, Sampling};
use serde::Deserialize;
use std::{collections::HashMap, path::PathBuf, sync::Arc};

const MODELS: [&str; 3] = ["qwen3", "qwen2", "llama"];
/// The longest prompt and its answer fit in.
const BLOCKS: BlockId = 6;

pub fn dir(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "models", name].iter().collect()
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    chats: Vec<Chat>,
}

#[derive(Deserialize)]
struct Case {
    prompt: Vec<u32>,
    answer: Vec<u32>,
}

#[derive(Deserialize)]
struct Chat {
    content: String,
    ids: Vec<u32>,
    answer: Vec<u32>,
}

fn golden(name: &str) -> Golden {
    serde_json::from_slice(&std::fs::read(dir(name).join("golden.json")).unwrap()).unwrap()
}

fn model(name: &str) -> (Model, KvCache) {
    let path = dir(name);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let shape = &checkpoint.shape;
    let model = Builder { path: &path, checkpoint: &checkpoint }.model(shape.context).unwrap();
    (model, KvCache::new(shape.layers, shape.kv_heads, shape.head_dim, BLOCKS as usize))
}

/// The logits after the last of `tokens`, the first of which is at `position`.
fn logits(model: &Model, cache: &mut KvCache, position: usize, tokens: &[u32]) -> Vec<f32> {
    let blocks: Vec<BlockId> = (0..BLOCKS).rev().collect();
    assert!(position + tokens.len() <= blocks.len() * BLOCK);
    let mut batch = Batch::default();
    batch.push(&blocks, position, tokens);
    batch.want(None);
    model.forward(&batch, cache).remove(0)
}

fn greatest(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32
}

#[test]
fn logits_are_those_of_transformers() {
    for name in MODELS {
        let (model, mut cache) = model(name);
        let path = dir(name).join("golden.safetensors");
        let expected: HashMap<String, candle_core::Tensor> =
            candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
        for Case { prompt, .. } in golden(name).cases {
            let expected = expected[&format!("logits.{}", prompt.len())].to_vec1::<f32>().unwrap();
            let found = logits(&model, &mut cache, 0, &prompt);
            assert_eq!(found.len(), expected.len());
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name}, {} tokens: {worst}", prompt.len());
        }
    }
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    for name in MODELS {
        let (model, mut cache) = model(name);
        for Case { prompt, answer } in golden(name).cases {
            let mut next = greatest(&logits(&model, &mut cache, 0, &prompt));
            for (position, expected) in (prompt.len()..).zip(answer) {
                assert_eq!(next, expected, "{name} after {position} tokens");
                next = greatest(&logits(&model, &mut cache, position, &[next]));
            }
        }
    }
}

/// From the words to the words, all conversations at once.
#[test]
fn the_engine_answers_as_transformers_does() {
    let clock = Arc::new(runtime::clock::System);
    let config = Config { max_sequences: 4, context_tokens: 256, batch_tokens: 48, threads: 2, ..Config::default() };
    for name in MODELS {
        let chats = golden(name).chats;
        let mut engine = local::open(&config, &dir(name), clock.clone()).unwrap();
        for (id, chat) in chats.iter().enumerate() {
            let sampling = Sampling { max_tokens: 40, ..Sampling::default() };
            let admitted = engine.add(request_of(id as u64, &chat.content, sampling)).unwrap();
            assert_eq!(admitted.prompt_tokens as usize, chat.ids.len());
        }
        let mut said = vec![(String::new(), None); chats.len()];
        while !engine.is_idle() {
            for output in engine.step().unwrap() {
                let said = &mut said[output.id().0 as usize];
                match output {
                    Output::Token { text, .. } => said.0 += &text,
                    Output::Finished { reason, .. } => said.1 = Some(reason),
                    _ => {}
                }
            }
        }
        let tokens = Tokens::from_directory(&dir(name), clock.clone()).unwrap();
        for (chat, said) in chats.iter().zip(said) {
            assert_eq!(said, expected(&tokens, &chat.answer), "{name}, {} tokens", chat.ids.len());
        }
    }
}

fn expected(tokens: &Tokens, answer: &[u32]) -> (String, Option<FinishReason>) {
    let ended = answer.last().is_some_and(|last| tokens.is_end(*last));
    let mut detokenizer = Detokenizer::default();
    let shown = answer.iter().filter(|token| !tokens.is_end(**token));
    let text = shown.map(|token| detokenizer.push(&tokens.pieces, *token)).collect();
    (text, Some(if ended { FinishReason::Stop } else { FinishReason::Length }))
}

#[test]
fn a_conversation_becomes_the_same_ids() {
    for name in MODELS {
        let tokens = Tokens::from_directory(&dir(name), Arc::new(runtime::clock::System)).unwrap();
        for chat in golden(name).chats {
            let prompt = tokens.prompt(&request_of(0, &chat.content, Sampling::default())).unwrap();
            assert_eq!(prompt.tokens, chat.ids, "{name}");
        }
    }
}
