//! From a conversation to the model's tokens.

use super::{
    answer::{Parser, Syntax},
    detokenize::Pieces,
    template::{Chat, ChatTemplate},
    vocabulary::Vocabulary,
};
use crate::engine::Request;
use candle_core::quantized::gguf_file::Content;
use protocol::{ErrorCode, Failure, Logprob};
use runtime::Clock;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};
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
    /// Tokens that are never shown but where they mean something.
    marks: BTreeMap<u32, String>,
    syntax: Syntax,
    pub pieces: Pieces,
    ends: BTreeSet<u32>,
    /// Put before every prompt whose template does not begin with it.
    bos: Option<u32>,
}

/// A conversation in tokens.
pub(crate) struct Prompt {
    /// All of them.
    pub tokens: Vec<u32>,
    /// So many at the end are of the answer.
    prefix: usize,
    /// Reads the rest of the answer.
    pub parser: Parser,
}

impl Prompt {
    /// What was asked, and the beginning of the answer.
    pub fn parts(&self) -> (&[u32], &[u32]) {
        self.tokens.split_at(self.tokens.len().saturating_sub(self.prefix))
    }
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
        let is_mark = |(text, id): &&(String, u32)| hidden.contains(id) && Syntax::MARKS.contains(&text.as_str());
        let marks: BTreeMap<u32, String> =
            special.iter().filter(is_mark).map(|(text, id)| (*id, text.clone())).collect();
        let is_hidden = |id: u32| hidden.contains(&id) && !marks.contains_key(&id);
        let pieces = Pieces::new(texts.iter().map(String::as_str), |id| is_hidden(id as u32));
        let bos_text = bos.as_ref().map_or_else(String::new, |(text, _)| text.clone());
        let syntax = Syntax::of(&template);
        let template = ChatTemplate::new(template, bos_text, eos.unwrap_or_default(), clock)
            .map_err(|error| format!("the chat template cannot be used: {error}"))?;
        let bos = bos.map(|(_, id)| id).filter(|_| adds_bos);
        Ok(Self { tokenizer, template, special, marks, syntax, pieces, ends, bos })
    }

    /// The tokens of a conversation up to the end of the answer's `prefix`.
    pub fn prompt(&self, request: &Request) -> Result<Prompt, Failure> {
        let tools = &request.tools;
        if !tools.usable().is_empty() && self.syntax.calls.is_none() {
            let message =
                "tools: this model's chat template has no tool calls that are understood here; leave them out";
            return Err(Failure { code: ErrorCode::UnsupportedParameter, ..Failure::invalid("tools", message) });
        }
        // Who has to call has nothing to think about.
        let thinking = if tools.demands() { Some(false) } else { request.thinking };
        let chat = Chat { messages: &request.messages, tools: tools.usable(), thinking };
        let text = self.template.render(&chat, |content| self.protect(content))?;
        let mut tokens = self.encode(&text)?;
        let answer = self.encode_where(&request.prefix, |special| Syntax::MARKS.contains(&special))?;
        let prefix = answer.len();
        tokens.extend(answer);
        match self.bos {
            Some(bos) if tokens.first() != Some(&bos) => tokens.insert(0, bos),
            _ => {}
        }
        let mut parser = Parser::new(self.syntax, tools, self.syntax.opens(&text));
        parser.resume(&request.prefix);
        Ok(Prompt { tokens, prefix, parser })
    }

    /// How many tokens a text has as mere characters.
    #[cfg(test)]
    pub fn count(&self, text: &str) -> Result<usize, Failure> {
        self.encode_plain(text).map(|tokens| tokens.len())
    }

    /// The text of a token that is shown only where it means something.
    pub fn mark(&self, token: u32) -> Option<&str> {
        self.marks.get(&token).map(String::as_str)
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
        self.encode_where(text, |_| true)
    }

    /// The same with those special tokens that `counts`, and the others as characters.
    fn encode_where(&self, text: &str, counts: impl Fn(&str) -> bool) -> Result<Vec<u32>, Failure> {
        let special: Vec<_> = self.special.iter().filter(|(special, _)| counts(special)).collect();
        let mut tokens = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while at < text.len() {
            if let Some((special, id)) = special.iter().find(|(special, _)| text[at..].starts_with(special.as_str())) {
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
