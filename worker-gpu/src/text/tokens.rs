//! The tokenizer of a GGUF file: from a conversation to the model's tokens.

use super::{detokenize::Pieces, template::ChatTemplate};
use candle_core::quantized::{
    gguf_file::{Content, Value},
    tokenizer::TokenizerFromGguf,
};
use protocol::{ChatMessage, ErrorCode, Failure};
use runtime::Clock;
use std::{collections::BTreeSet, sync::Arc};
use tokenizers::{
    Tokenizer,
    pre_tokenizers::{PreTokenizerWrapper, byte_level::ByteLevel, digits::Digits, sequence::Sequence},
};

/// Stands inside of a special token's text to break it; a noncharacter, which no text has any business to contain.
const BREAK: char = '\u{fdd0}';
/// Tokens that end an answer besides the file's own end token.
const ENDS: [&str; 5] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>"];

/// GGUF's kind of tokens that are never shown.
const CONTROL: u32 = 3;
/// GGUF's kind of tokens that are texts added to the vocabulary.
const USER_DEFINED: u32 = 4;

/// What a model's tokens mean.
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    /// Texts of the special tokens with their ids, longest first.
    special: Vec<(String, u32)>,
    pub pieces: Pieces,
    ends: BTreeSet<u32>,
    /// Put before every prompt whose template does not begin with it.
    bos: Option<u32>,
}

impl Tokens {
    /// Reads tokenizer and chat template; the error is a sentence for an operator.
    pub fn new(content: &Content, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_gguf(content).map_err(|error| format!("tokenizer: {error}"))?;
        tokenizer.set_encode_special_tokens(true);
        if let Some(splitter) = splitter(text(content, "tokenizer.ggml.pre").unwrap_or_default()) {
            tokenizer.with_pre_tokenizer(Some(splitter));
        }
        let vocabulary = vocabulary(content);
        let special = special(content, &vocabulary);
        let named =
            |key: &str| id(content, key).and_then(|id| vocabulary.get(id as usize).map(|text| text.to_string()));
        let source = text(content, "tokenizer.chat_template");
        let source = source.ok_or("metadata tokenizer.chat_template: missing, so chats cannot be put to this model")?;
        let (bos, eos) = (named("tokenizer.ggml.bos_token_id"), named("tokenizer.ggml.eos_token_id"));
        let template = ChatTemplate::new(source.into(), bos.unwrap_or_default(), eos.unwrap_or_default(), clock)
            .map_err(|error| format!("metadata tokenizer.chat_template: {error}"))?;
        let by_name = special.iter().filter(|(text, _)| ENDS.contains(&text.as_str())).map(|(_, id)| *id);
        let ends: BTreeSet<u32> = by_name.chain(id(content, "tokenizer.ggml.eos_token_id")).collect();
        let hidden: BTreeSet<usize> = of_kind(content, &[CONTROL]).collect();
        let pieces = Pieces::new(vocabulary.iter().copied(), |id| hidden.contains(&id));
        let adds_bos = matches!(content.metadata.get("tokenizer.ggml.add_bos_token"), Some(Value::Bool(true)));
        let bos = id(content, "tokenizer.ggml.bos_token_id").filter(|_| adds_bos);
        Ok(Self { tokenizer, template, special, pieces, ends, bos })
    }

    /// The tokens of a conversation up to the end of the answer's `prefix`.
    pub fn prompt(&self, messages: &[ChatMessage], prefix: &str) -> Result<Vec<u32>, Failure> {
        let text = self.template.render(messages, |content| self.protect(content))?;
        let mut tokens = self.encode(&text)?;
        tokens.extend(self.encode_plain(prefix)?);
        match self.bos {
            Some(bos) if tokens.first() != Some(&bos) => tokens.insert(0, bos),
            _ => {}
        }
        Ok(tokens)
    }

    /// How many tokens a text has.
    pub fn count(&self, text: &str) -> Result<usize, Failure> {
        self.encode_plain(text).map(|tokens| tokens.len())
    }

    /// From now on no token ends an answer.
    pub fn ignore_ends(&mut self) {
        self.ends.clear();
    }

    /// Whether an answer ends with `token`.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Breaks every special token's text, so that whoever writes it writes mere characters.
    fn protect(&self, content: &str) -> String {
        let mut protected = content.replace(BREAK, "");
        for (text, _) in &self.special {
            if protected.contains(text.as_str()) {
                let first = text.chars().next().map_or(0, char::len_utf8);
                protected = protected.replace(text, &format!("{}{BREAK}{}", &text[..first], &text[first..]));
            }
        }
        protected
    }

    /// The tokens of a rendered template: special tokens by their id, protected text as characters.
    fn encode(&self, text: &str) -> Result<Vec<u32>, Failure> {
        let mut tokens = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while at < text.len() {
            if let Some((special, id)) =
                self.special.iter().find(|(special, _)| text[at..].starts_with(special.as_str()))
            {
                tokens.extend(self.encode_plain(&text[start..at])?);
                tokens.push(*id);
                at += special.len();
                start = at;
            } else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        tokens.extend(self.encode_plain(&text[start..])?);
        Ok(tokens)
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<u32>, Failure> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = self.tokenizer.encode_fast(text.replace(BREAK, ""), false);
        let failed = |error| {
            tracing::error!(%error, "a prompt could not be tokenized");
            Failure::new(ErrorCode::EngineFailed, "the prompt could not be tokenized")
        };
        encoded.map(|encoding| encoding.get_ids().to_vec()).map_err(failed)
    }
}

/// How to split a text before its words are looked up, where candle's choice differs from the model's training: it
/// would put a space before every text.
fn splitter(pre: &str) -> Option<PreTokenizerWrapper> {
    let bytes = ByteLevel::new(false, true, true);
    match pre {
        "smollm" => Some(Sequence::new(vec![Digits::new(true).into(), bytes.into()]).into()),
        "gpt-2" | "gpt2" | "default" | "" => Some(bytes.into()),
        _ => None,
    }
}

fn text<'a>(content: &'a Content, key: &str) -> Option<&'a str> {
    content.metadata.get(key)?.to_string().ok().map(String::as_str)
}

fn id(content: &Content, key: &str) -> Option<u32> {
    let value = content.metadata.get(key)?.to_u64().ok()?;
    u32::try_from(value).ok()
}

fn vocabulary(content: &Content) -> Vec<&str> {
    let Some(Value::Array(tokens)) = content.metadata.get("tokenizer.ggml.tokens") else { return Vec::new() };
    tokens.iter().map(|token| token.to_string().map_or("", String::as_str)).collect()
}

/// Control and user-defined tokens. One of a single character cannot be broken, so it is left to the vocabulary.
fn special(content: &Content, vocabulary: &[&str]) -> Vec<(String, u32)> {
    let text = |id: usize| vocabulary.get(id).filter(|text| text.chars().nth(1).is_some());
    let named = of_kind(content, &[CONTROL, USER_DEFINED]).filter_map(|id| Some((text(id)?.to_string(), id as u32)));
    let mut special: Vec<_> = named.collect();
    special.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    special
}

/// Ids of the tokens whose kind is one of `kinds`.
fn of_kind(content: &Content, kinds: &[u32]) -> impl Iterator<Item = usize> {
    let all = match content.metadata.get("tokenizer.ggml.token_type") {
        Some(Value::Array(all)) => all.as_slice(),
        _ => &[],
    };
    let kind = |value: &Value| match value {
        Value::I32(kind) => u32::try_from(*kind).ok(),
        Value::U32(kind) => Some(*kind),
        _ => None,
    };
    all.iter()
        .enumerate()
        .filter(move |(_, value)| kind(value).is_some_and(|kind| kinds.contains(&kind)))
        .map(|(id, _)| id)
}
