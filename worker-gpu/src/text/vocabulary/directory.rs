//! The vocabulary in a directory in Hugging Face's format.

use super::Vocabulary;
use serde_json::Value;
use std::{collections::BTreeSet, io::ErrorKind, path::Path};
use tokenizers::Tokenizer;

/// Where chat templates are.
const TEMPLATE: &str = "neither chat_template.jinja nor tokenizer_config.json's chat_template is there; chats need an \
                        instruction-tuned model";

impl Vocabulary {
    /// Reads a directory; the error is a sentence for an operator.
    pub fn from_directory(dir: &Path) -> Result<Self, String> {
        let mut json = read(dir, "tokenizer.json")?.ok_or("tokenizer.json is missing; fetch it with the model")?;
        if !mentions(&json, "ByteLevel") || json.pointer("/model/type").and_then(Value::as_str) != Some("BPE") {
            return Err("tokenizer.json: only byte-level BPE is supported".into());
        }
        let added = added(&mut json)?;
        let tokenizer = tokenizer(&json)?;
        let config = read(dir, "tokenizer_config.json")?.unwrap_or_default();
        let named = |key: &str| special(&config, key);
        let id = |text: &str| tokenizer.token_to_id(text);
        let (bos, eos) = (named("bos_token"), named("eos_token"));
        let mut ends: BTreeSet<u32> = eos.as_deref().and_then(id).into_iter().collect();
        for file in ["generation_config.json", "config.json"] {
            ends.extend(read(dir, file)?.iter().flat_map(|config| ids(&config["eos_token_id"])));
        }
        Ok(Self {
            texts: texts(&tokenizer),
            special: added.iter().map(|token| (token.text.clone(), token.id)).collect(),
            hidden: added.iter().filter(|token| token.hidden).map(|token| token.id).collect(),
            template: template(dir, &config)?.ok_or(TEMPLATE)?,
            bos: bos.and_then(|text| id(&text).map(|id| (text, id))),
            eos,
            ends,
            // The template writes what the model was trained on.
            adds_bos: false,
            tokenizer,
        })
    }
}

/// A token that was added to the vocabulary.
struct Added {
    text: String,
    id: u32,
    hidden: bool,
}

/// The added tokens. All of them become special in `json`, so that plain text never contains one.
fn added(json: &mut Value) -> Result<Vec<Added>, String> {
    let tokens = json.get_mut("added_tokens").and_then(Value::as_array_mut);
    let token = |token: &mut Value| {
        let (text, id) = (token["content"].as_str()?.to_string(), u32::try_from(token["id"].as_u64()?).ok()?);
        let hidden = token["special"].as_bool().unwrap_or(false);
        token["special"] = true.into();
        Some(Added { text, id, hidden })
    };
    let tokens: Option<Vec<Added>> = tokens.into_iter().flatten().map(token).collect();
    tokens.ok_or_else(|| "tokenizer.json: added_tokens: each needs content and id".into())
}

fn tokenizer(json: &Value) -> Result<Tokenizer, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("tokenizer.json cannot be used: {error}");
    let bytes = serde_json::to_vec(json).map_err(|error| wrong(&error))?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| wrong(&error))?;
    tokenizer.with_truncation(None).map_err(|error| wrong(&error))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn texts(tokenizer: &Tokenizer) -> Vec<String> {
    let vocabulary = tokenizer.get_vocab(true);
    // Ids are not necessarily without gaps, but a file of some bytes cannot make them endless.
    let len = vocabulary.values().max().map_or(0, |id| (*id as usize + 1).min(1 << 22));
    let mut texts = vec![String::new(); len];
    for (text, id) in vocabulary {
        if let Some(place) = texts.get_mut(id as usize) {
            *place = text;
        }
    }
    texts
}

/// A file of its own comes before the configuration's key, which holds a text or a list of named ones.
fn template(dir: &Path, config: &Value) -> Result<Option<String>, String> {
    let name = "chat_template.jinja";
    match std::fs::read_to_string(dir.join(name)) {
        Ok(text) => return Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{name}: {error}")),
    }
    Ok(match &config["chat_template"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(named) => {
            let default = named.iter().find(|entry| entry["name"] == "default").or(named.first());
            default.and_then(|entry| entry["template"].as_str()).map(str::to_string)
        }
        _ => None,
    })
}

/// A token's text, by itself or in an object.
fn special(config: &Value, key: &str) -> Option<String> {
    let value = &config[key];
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_string)
}

/// One id or a list of them.
fn ids(value: &Value) -> Vec<u32> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// Whether an object of this type is anywhere in the pipeline.
fn mentions(json: &Value, kind: &str) -> bool {
    fn within(value: &Value, kind: &str) -> bool {
        match value {
            Value::Object(object) => {
                object.get("type").is_some_and(|own| own == kind) || object.values().any(|value| within(value, kind))
            }
            Value::Array(list) => list.iter().any(|value| within(value, kind)),
            _ => false,
        }
    }
    ["pre_tokenizer", "decoder"].iter().any(|key| within(&json[*key], kind))
}

fn read(dir: &Path, name: &str) -> Result<Option<Value>, String> {
    match std::fs::read(dir.join(name)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{name}: {error}")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
