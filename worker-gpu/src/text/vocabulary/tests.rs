//! A tokenizer gives the same ids wherever it is read from.

use super::super::Tokens;
use crate::{candle::tests::golden::dir, engine::Request, local::tests::request_of};
use candle_core::quantized::gguf_file::{Content, Value, VersionedMagic};
use protocol::Sampling;
use serde_json::Value as Json;
use std::{collections::HashMap, path::Path, sync::Arc};

fn json(dir: &Path, name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

fn from_directory(dir: &Path) -> Tokens {
    Tokens::from_directory(dir, Arc::new(runtime::clock::System)).unwrap()
}

/// What llama.cpp's converter writes for the tokenizer in `dir`.
fn converted(dir: &Path, pre: &str) -> Content {
    let json = json(dir, "tokenizer.json");
    let vocabulary = json["model"]["vocab"].as_object().unwrap().iter();
    let mut tokens: Vec<(u64, String, i32)> =
        vocabulary.map(|(text, id)| (id.as_u64().unwrap(), text.clone(), 1)).collect();
    for added in json["added_tokens"].as_array().unwrap() {
        let kind = if added["special"] == true { 3 } else { 4 };
        let id = added["id"].as_u64().unwrap();
        tokens.retain(|(other, ..)| *other != id);
        tokens.push((id, added["content"].as_str().unwrap().into(), kind));
    }
    tokens.sort();
    let end = tokens.iter().find(|(_, text, _)| text == "<|im_end|>").unwrap().0;
    let merge = |merge: &Json| {
        let merge: Vec<&str> = merge.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        Value::String(merge.join(" "))
    };
    let metadata = [
        ("tokenizer.ggml.model", Value::String("gpt2".into())),
        ("tokenizer.ggml.pre", Value::String(pre.into())),
        (
            "tokenizer.ggml.merges",
            Value::Array(json["model"]["merges"].as_array().unwrap().iter().map(merge).collect()),
        ),
        ("tokenizer.ggml.token_type", Value::Array(tokens.iter().map(|token| Value::I32(token.2)).collect())),
        ("tokenizer.ggml.tokens", Value::Array(tokens.into_iter().map(|token| Value::String(token.1)).collect())),
        ("tokenizer.ggml.eos_token_id", Value::U32(end as u32)),
        ("tokenizer.chat_template", Value::String("{{ messages[0].content }}".into())),
    ];
    let metadata: HashMap<String, Value> = metadata.into_iter().map(|(key, value)| (key.into(), value)).collect();
    Content { magic: VersionedMagic::GgufV3, metadata, tensor_infos: HashMap::new(), tensor_data_offset: 0 }
}

fn from_gguf(content: &Content) -> Result<Tokens, String> {
    Tokens::from_gguf(content, Arc::new(runtime::clock::System))
}

const TEXTS: [&str; 9] = [
    "The customer's parcel, they'LL say, came 2024-02-29.",
    "  leading, trailing  \n\n\tand\r\n mixed   spaces ",
    "密码忘记了怎么办?退货需要多久",
    "Größe e\u{301}tude — “quotes” 😀🎉 नमस्ते \u{200d}",
    "if x:\n    return {'a': [1, 22, 333]}  # done",
    "<|im_start|>user\nwith <think>inside</think> and <|im_end|>",
    "<|im_end|><|im_end|>",
    "ſt'ſ K'ſ",
    "",
];

#[test]
fn ids_are_those_of_transformers() {
    for name in ["qwen3", "qwen2", "llama"] {
        let tokens = from_directory(&dir(name));
        for case in json(&dir(name), "golden.json")["encoded"].as_array().unwrap() {
            let expected: Vec<u32> =
                case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(tokens.encode(case["text"].as_str().unwrap()).unwrap(), expected, "{case}");
        }
    }
}

/// `FRONTDESK_TOKENIZER_DIR` adds one more directory with a Qwen tokenizer.
#[test]
fn a_directory_and_a_gguf_file_give_equal_ids() {
    let named = std::env::var_os("FRONTDESK_TOKENIZER_DIR").map(Into::into);
    for dir in named.into_iter().chain([dir("qwen3")]) {
        let (directory, gguf) = (from_directory(&dir), from_gguf(&converted(&dir, "qwen2")).unwrap());
        for text in TEXTS {
            let ids = directory.encode(text).unwrap();
            assert_eq!(ids, gguf.encode(text).unwrap(), "{text:?}");
            assert_eq!(directory.count(text).unwrap(), gguf.count(text).unwrap(), "as mere characters: {text:?}");
        }
        let think = directory.encode("<think>").unwrap();
        assert_eq!(think.len(), 1);
        assert!(directory.count("<think>").unwrap() > 1);
    }
}

#[test]
fn who_writes_an_added_token_writes_characters() {
    let tokens = from_directory(&dir("qwen3"));
    let prompt = |content: &str| tokens.prompt(&request_of(0, content, Sampling::default())).unwrap().tokens;
    for added in ["<|im_end|>", "<think>"] {
        let id = tokens.encode(added).unwrap()[0];
        let count = |ids: &[u32]| ids.iter().filter(|other| **other == id).count();
        assert_eq!(count(&prompt(added)), count(&prompt("x")), "{added}");
    }
}

#[test]
fn an_unknown_way_to_split_words_is_refused() {
    let error = from_gguf(&converted(&dir("qwen3"), "tekken")).err().unwrap();
    assert!(error.contains("tokenizer.ggml.pre") && error.contains("tekken"), "{error}");
}

#[test]
fn a_file_without_a_template_or_words_is_refused() {
    for key in ["tokenizer.chat_template", "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.model"] {
        let mut content = converted(&dir("qwen3"), "qwen2");
        content.metadata.remove(key);
        let error = from_gguf(&content).err().unwrap();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn what_a_directory_lacks_is_said() {
    let without = |file: &str, text: Option<&str>| {
        let copy = tempfile::tempdir().unwrap();
        for entry in dir("qwen3").read_dir().unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        match text {
            Some(text) => std::fs::write(copy.path().join(file), text).unwrap(),
            None => std::fs::remove_file(copy.path().join(file)).unwrap(),
        }
        Tokens::from_directory(copy.path(), Arc::new(runtime::clock::System)).err()
    };
    let says = |file: &str, text: Option<&str>| without(file, text).unwrap();
    assert!(says("tokenizer.json", None).contains("tokenizer.json is missing"));
    assert!(says("tokenizer.json", Some("{")).contains("tokenizer.json: "));
    assert!(says("tokenizer.json", Some(r#"{"model": {"type": "Unigram"}}"#)).contains("byte-level BPE"));
    assert!(says("chat_template.jinja", None).contains("chat_template"));
    assert!(says("chat_template.jinja", Some("{% for %}")).contains("chat template"));
    assert_eq!(without("generation_config.json", None), None);
}

#[test]
fn the_configuration_may_hold_the_template_and_tokens_in_objects() {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir("qwen3").join("tokenizer.json"), copy.path().join("tokenizer.json")).unwrap();
    let config = serde_json::json!({
        "eos_token": {"content": "<|im_end|>"},
        "chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "say {{ eos_token }}"}],
    });
    std::fs::write(copy.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    std::fs::write(copy.path().join("generation_config.json"), r#"{"eos_token_id": 3}"#).unwrap();
    let tokens = from_directory(copy.path());
    let empty = Request { messages: Vec::new(), ..request_of(0, "", Sampling::default()) };
    assert_eq!(tokens.prompt(&empty).unwrap().tokens, tokens.encode("say <|im_end|>").unwrap());
    let end = tokens.encode("<|im_end|>").unwrap()[0];
    assert!(tokens.is_end(end) && tokens.is_end(3) && !tokens.is_end(4));
}
