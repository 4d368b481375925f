//! A real model, if `make models` has fetched it.

use super::super::CandleEngine;
use crate::{
    config::Config,
    engine::{Engine, Output, Request, SequenceId},
};
use protocol::{ChatMessage, FinishReason, Role, Sampling};
use std::{path::PathBuf, sync::Arc};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn model() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let dir =
        named("FRONTDESK_MODELS_DIR").or_else(|| named("HOME").map(|home| home.join(".cache/frontdesk/models")))?;
    Some(dir.join(FILE)).filter(|path| path.is_file())
}

#[test]
fn a_real_model_answers_two_questions_at_once() {
    let Some(path) = model() else {
        eprintln!("SKIPPED: {FILE} is not in $FRONTDESK_MODELS_DIR or ~/.cache/frontdesk/models");
        return;
    };
    let config = Config { max_sequences: 2, context_tokens: 512, ..Config::default() };
    let mut engine = CandleEngine::open(&config, &path, Arc::new(runtime::clock::System)).unwrap();
    for (id, question) in [(1, "What is the capital of France?"), (2, "Which planet is called the red planet?")] {
        let sampling = Sampling { max_tokens: 24, temperature: 0.0, top_p: 1.0, seed: 0, stop: vec![] };
        let messages = vec![ChatMessage::new(Role::User, question)];
        engine.add(Request { id: SequenceId(id), messages, prefix: String::new(), sampling }).unwrap();
    }
    let mut texts = [String::new(), String::new()];
    while !engine.is_idle() {
        for output in engine.step().unwrap() {
            match output {
                Output::Token { id, text, .. } => texts[id.0 as usize - 1] += &text,
                Output::Finished { reason, .. } => assert_ne!(reason, FinishReason::Cancelled),
                _ => {}
            }
        }
    }
    assert!(texts[0].contains("Paris") && texts[1].contains("Mars"), "{texts:?}");
}
