//! From a conversation to the model's tokens.

use super::{detokenize::Pieces, template::ChatTemplate, vocabulary::Vocabulary};
use candle_core::quantized::gguf_file::Content;
use protocol::{ChatMessage, ErrorCode, Failure, Logprob};
use runtime::Clock;
use std::{collections::BTreeSet, path::Path, sync::Arc};
use tokenizers::Tokenizer;

/// Stands inside of a special token's text to break it; a noncharacter, which no text has any business to contain.
const BREAK: char = '\u{fdd0}';
/// Tokens that end an answer besides the file's own end token.
const ENDS: [&str; 5] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>"];

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
    /// Reads tokenizer and chat template of a GGUF file; the error is a sentence for an operator.
    pub fn from_gguf(content: &Content, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Self::new(Vocabulary::from_gguf(content)?, clock)
    }

    /// Reads tokenizer and chat template of a directory in Hugging Face's format.
    pub fn from_directory(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Self::new(Vocabulary::from_directory(dir)?, clock)
    }

    /// For a model without files, whose vocabulary has `size` tokens.
    pub fn dummy(size: usize, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Self::new(Vocabulary::dummy(size)?, clock)
    }

    fn new(vocabulary: Vocabulary, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let Vocabulary { mut tokenizer, texts, mut special, hidden, template, bos, eos, ends, adds_bos } = vocabulary;
        tokenizer.set_encode_special_tokens(true);
        // A token of a single character cannot be broken, so it is left to the vocabulary.
        special.retain(|(text, _)| text.chars().nth(1).is_some());
        special.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let by_name = special.iter().filter(|(text, _)| ENDS.contains(&text.as_str())).map(|(_, id)| *id);
        let ends = by_name.chain(ends).collect();
        let pieces = Pieces::new(texts.iter().map(String::as_str), |id| hidden.contains(&(id as u32)));
        let bos_text = bos.as_ref().map_or_else(String::new, |(text, _)| text.clone());
        let template = ChatTemplate::new(template, bos_text, eos.unwrap_or_default(), clock)
            .map_err(|error| format!("the chat template cannot be used: {error}"))?;
        let bos = bos.map(|(_, id)| id).filter(|_| adds_bos);
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

    /// The tokens that end an answer.
    pub fn ends(&self) -> impl Iterator<Item = u32> {
        self.ends.iter().copied()
    }

    /// How a token is called in a list of logprobs: by its bytes, or by its name if it stands for nothing.
    pub fn logprob(&self, token: u32, logprob: f32) -> Logprob {
        let name = || self.special.iter().find(|(_, id)| *id == token).map_or("", |(name, _)| name);
        let bytes = self.pieces.of(token);
        Logprob::of_bytes(if bytes.is_empty() { name().as_bytes() } else { bytes }, logprob)
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
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, Failure> {
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
