//! What is wrong is said, with the file and the key.

use super::{configure, copy};
use crate::{
    config::Config,
    local,
    weights::{Checkpoint, Part},
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

/// What opening says after a change.
fn error(name: &str, change: impl FnOnce(&Path)) -> String {
    let dir = copy(name);
    change(dir.path());
    Checkpoint::open(dir.path()).err().unwrap().to_string()
}

fn configured(changes: &Value) -> String {
    error("qwen2", |dir| configure(dir, changes))
}

/// Rewrites a file's bytes.
fn edit(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn says(message: &str, all: &[&str]) {
    all.iter().for_each(|part| assert!(message.contains(part), "{part:?} is not in {message:?}"));
}

#[test]
fn a_wrong_configuration_is_named() {
    says(&configured(&json!({"model_type": "mamba"})), &["config.json: model_type: \"mamba\"", "qwen3"]);
    says(&configured(&json!({"num_key_value_heads": 3})), &["heads"]);
    says(&configured(&json!({"head_dim": 15})), &["head size: 15 is not even"]);
    says(
        &error("qwen2", |dir| std::fs::write(dir.join("config.json"), "{").unwrap()),
        &["config.json: not readable JSON"],
    );
    says(&error("qwen2", |dir| std::fs::remove_file(dir.join("config.json")).unwrap()), &["config.json: "]);
}

#[test]
fn sizes_without_sense_are_refused_at_once() {
    says(&configured(&json!({"num_attention_heads": 1 << 20, "head_dim": null})), &["head size: 0"]);
    says(
        &configured(&json!({"num_hidden_layers": 1 << 24})),
        &["tensor model.layers.3.input_layernorm.weight: missing"],
    );
    says(&configured(&json!({"num_hidden_layers": (1 << 24) + 1})), &["num_hidden_layers: 16777217"]);
}

#[test]
fn a_missing_or_misshapen_weight_is_named() {
    let wider = configured(&json!({"intermediate_size": 128}));
    says(&wider, &["model.safetensors: tensor model.layers.0.mlp.gate_proj.weight", "[112, 64]", "[128, 64]"]);
    let deeper = configured(&json!({"num_hidden_layers": 4}));
    says(&deeper, &["tensor model.layers.3.input_layernorm.weight: missing"]);
    // Qwen3 has no biases, which Qwen2 must have.
    let dir = copy("qwen3");
    configure(dir.path(), &json!({"model_type": "qwen2"}));
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let bias = checkpoint.bias(Part::Layer(0, crate::weights::LayerPart::Query)).unwrap_err().to_string();
    says(&bias, &["tensor model.layers.0.self_attn.q_proj.bias: missing"]);
}

#[test]
fn a_damaged_file_is_named() {
    let file = "model.safetensors";
    let cut = error("qwen2", |dir| edit(dir, file, |bytes| bytes.truncate(bytes.len() - 9)));
    says(&cut, &["model.safetensors: the file has 339447 bytes, its header says 339456", "again"]);
    let short = error("qwen2", |dir| edit(dir, file, |bytes| bytes.truncate(5)));
    says(&short, &["model.safetensors: the file ends after 5 bytes of 8"]);
    for length in [u64::MAX, 1 << 40, 400_000] {
        let lie = error("qwen2", |dir| edit(dir, file, |bytes| bytes[..8].copy_from_slice(&length.to_le_bytes())));
        says(&lie, &["not a readable safetensors file: its header claims", "339456"]);
    }
    let half = error("qwen2", |dir| edit(dir, file, |bytes| bytes[..8].copy_from_slice(&100u64.to_le_bytes())));
    says(&half, &["not a readable safetensors file"]);
    let other =
        error("qwen2", |dir| edit(dir, file, |bytes| bytes.splice(.., *b"<html>not found</html>").for_each(drop)));
    says(&other, &["not a readable safetensors file"]);
}

#[test]
fn a_missing_file_is_named() {
    let shard = "model-00002-of-00002.safetensors";
    says(&error("llama", |dir| std::fs::remove_file(dir.join(shard)).unwrap()), &[shard]);
    let index = "model.safetensors.index.json";
    says(&error("llama", |dir| std::fs::remove_file(dir.join(index)).unwrap()), &["neither model.safetensors nor"]);
    let outside = |dir: &Path| {
        std::fs::write(dir.join(index), json!({"weight_map": {"a": "../../etc/passwd"}}).to_string()).unwrap();
    };
    says(&error("llama", outside), &[index, "is no file of this directory"]);
}

#[test]
fn too_little_memory_is_said_before_anything_is_loaded() {
    let dir = copy("qwen3");
    let open = |cache_mib| {
        let config = Config { cache_mib, context_tokens: 64, ..Config::default() };
        local::open(&config, dir.path(), Arc::new(runtime::clock::System)).map(drop)
    };
    if cfg!(target_os = "linux") {
        let message = open(1 << 30).unwrap_err().to_string();
        says(&message, &["inference.cache_mib = 1073741824", "MiB are available", "set inference.cache_mib lower"]);
    }
    open(1).unwrap();
}

#[test]
fn a_file_with_a_hash_beside_it_is_compared() {
    let dir = copy("qwen3");
    std::fs::write(dir.path().join("tokenizer.json.sha256"), "00  tokenizer.json\n").unwrap();
    let config = Config { cache_mib: 1, context_tokens: 64, ..Config::default() };
    let message = local::open(&config, dir.path(), Arc::new(runtime::clock::System)).err().unwrap().to_string();
    says(&message, &["tokenizer.json: SHA-256", "expected 00", "fetch it again"]);
}
