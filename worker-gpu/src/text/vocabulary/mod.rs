//! What a model's files say about its tokens.

mod directory;
mod dummy;
mod gguf;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use tokenizers::Tokenizer;

/// A model's vocabulary and chat template.
pub(super) struct Vocabulary {
    /// Turns plain text into ids; it never sees a special token as such.
    pub tokenizer: Tokenizer,
    /// The tokens by id, in the alphabet of byte-level vocabularies.
    pub texts: Vec<String>,
    /// Texts that are one token wherever a template writes them.
    pub special: Vec<(String, u32)>,
    /// Tokens that are never shown.
    pub hidden: BTreeSet<u32>,
    /// The chat template's source.
    pub template: String,
    /// The token of a text's beginning.
    pub bos: Option<(String, u32)>,
    /// The text of the token of a text's end.
    pub eos: Option<String>,
    /// Tokens that end an answer.
    pub ends: BTreeSet<u32>,
    /// Every prompt begins with `bos`, even where the template does not write it.
    pub adds_bos: bool,
}
