//! A vocabulary for models without files.

use super::Vocabulary;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tokenizers::{Tokenizer, pre_tokenizers::byte_level::ByteLevel};

/// What tokens beyond the bytes say.
const LETTERS: [&str; 8] = ["a", "e", "i", "o", "l", "m", "n", "s"];

impl Vocabulary {
    /// A token per byte, and more that are only ever generated; no token ends an answer. The error is a sentence for an
    /// operator.
    pub fn dummy(size: usize) -> Result<Self, String> {
        let alphabet: BTreeSet<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
        let ids: BTreeMap<&String, usize> = alphabet.iter().enumerate().map(|(id, text)| (text, id)).collect();
        let bytes =
            json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
        let json = json!({
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": bytes,
            "decoder": bytes,
            "model": { "type": "BPE", "vocab": ids, "merges": [] },
        });
        let tokenizer = Tokenizer::from_bytes(json.to_string()).map_err(|error| error.to_string())?;
        let more = LETTERS.iter().cycle().map(ToString::to_string).take(size.saturating_sub(alphabet.len()));
        Ok(Self {
            tokenizer,
            texts: alphabet.iter().cloned().chain(more).collect(),
            special: Vec::new(),
            hidden: BTreeSet::new(),
            template: "{% for message in messages %}{{ message.content }}\n{% endfor %}".into(),
            bos: None,
            eos: None,
            ends: BTreeSet::new(),
            adds_bos: false,
        })
    }
}
