//! The vocabulary in a GGUF file's metadata.

use super::Vocabulary;
use candle_core::quantized::{
    gguf_file::{Content, Value},
    tokenizer::TokenizerFromGguf,
};
use tokenizers::{
    ModelWrapper, SplitDelimiterBehavior, Tokenizer,
    normalizers::unicode::NFC,
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

/// GGUF's kind of tokens that are never shown.
const CONTROL: u32 = 3;
/// GGUF's kind of tokens that are texts added to the vocabulary.
const USER_DEFINED: u32 = 4;

/// Words as Qwen2 and later split them: each digit by itself.
const QWEN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Words as Llama 3 splits them: up to three digits together.
const LLAMA: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Vocabulary {
    /// Reads a file's metadata; the error is a sentence for an operator.
    pub fn from_gguf(content: &Content) -> Result<Self, String> {
        let texts = texts(content);
        let named = |id: u32| texts.get(id as usize).map(|text| (text.clone(), id));
        let by_key = |key: &str| id(content, key).and_then(named);
        let template = text(content, "tokenizer.chat_template");
        let template = template.ok_or("tokenizer.chat_template: missing; chats need an instruction-tuned model")?;
        Ok(Self {
            tokenizer: tokenizer(content)?,
            special: of_kind(content, &[CONTROL, USER_DEFINED]).filter_map(named).collect(),
            hidden: of_kind(content, &[CONTROL]).collect(),
            template: template.into(),
            bos: by_key("tokenizer.ggml.bos_token_id"),
            eos: by_key("tokenizer.ggml.eos_token_id").map(|(text, _)| text),
            ends: id(content, "tokenizer.ggml.eos_token_id").into_iter().collect(),
            adds_bos: matches!(content.metadata.get("tokenizer.ggml.add_bos_token"), Some(Value::Bool(true))),
            texts,
        })
    }
}

/// candle's tokenizer, but splitting words as the model's training did.
fn tokenizer(content: &Content) -> Result<Tokenizer, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the tokenizer cannot be used: {error}");
    let mut tokenizer = Tokenizer::from_gguf(content).map_err(|error| wrong(&error))?;
    let pre = text(content, "tokenizer.ggml.pre").unwrap_or_default();
    let bytes = ByteLevel::new(false, false, false);
    let splitter: PreTokenizerWrapper = match pre {
        "qwen2" | "deepseek-r1-qwen" => {
            tokenizer.with_normalizer(Some(NFC)).map_err(|error| wrong(&error))?;
            words(QWEN, bytes)?
        }
        "llama-bpe" | "llama3" | "llama-v3" => {
            whole_words(&mut tokenizer);
            words(LLAMA, bytes)?
        }
        "smollm" => Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()]).into(),
        "gpt-2" | "gpt2" | "default" | "" => ByteLevel::new(false, true, true).into(),
        other => {
            let supported = "supported are qwen2, deepseek-r1-qwen, llama-bpe, smollm and gpt-2";
            return Err(format!("tokenizer.ggml.pre: {other:?}; {supported}"));
        }
    };
    tokenizer.with_pre_tokenizer(Some(splitter));
    Ok(tokenizer)
}

fn words(regex: &str, bytes: ByteLevel) -> Result<PreTokenizerWrapper, String> {
    let split = Split::new(SplitPattern::Regex(regex.into()), SplitDelimiterBehavior::Isolated, false);
    let split = split.map_err(|error| format!("the tokenizer cannot be used: {error}"))?;
    Ok(Sequence::new(vec![split.into(), bytes.into()]).into())
}

/// A word that is a token needs no merges, which Llama 3's vocabulary does not have for all of them.
fn whole_words(tokenizer: &mut Tokenizer) {
    if let ModelWrapper::BPE(model) = tokenizer.get_model() {
        let mut model = model.clone();
        model.ignore_merges = true;
        tokenizer.with_model(model);
    }
}

fn text<'a>(content: &'a Content, key: &str) -> Option<&'a str> {
    content.metadata.get(key)?.to_string().ok().map(String::as_str)
}

fn id(content: &Content, key: &str) -> Option<u32> {
    let value = content.metadata.get(key)?.to_u64().ok()?;
    u32::try_from(value).ok()
}

fn texts(content: &Content) -> Vec<String> {
    let Some(Value::Array(tokens)) = content.metadata.get("tokenizer.ggml.tokens") else { return Vec::new() };
    tokens.iter().map(|token| token.to_string().map_or_else(|_| String::new(), String::clone)).collect()
}

/// Ids of the tokens whose kind is one of `kinds`.
fn of_kind(content: &Content, kinds: &[u32]) -> impl Iterator<Item = u32> {
    let all = match content.metadata.get("tokenizer.ggml.token_type") {
        Some(Value::Array(all)) => all.as_slice(),
        _ => &[],
    };
    let kind = |value: &Value| match value {
        Value::I32(kind) => u32::try_from(*kind).ok(),
        Value::U32(kind) => Some(*kind),
        _ => None,
    };
    let is_one = move |value: &Value| kind(value).is_some_and(|kind| kinds.contains(&kind));
    (0..).zip(all).filter(move |(_, value)| is_one(value)).map(|(id, _)| id)
}
