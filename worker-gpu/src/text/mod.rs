//! Between words and tokens: chat template and tokenizer one way, detokenizer and stop strings the other.

mod detokenize;
mod speech;
mod stop;
mod template;
mod tokens;
mod vocabulary;

pub(crate) use detokenize::Detokenizer;
pub(crate) use speech::{Shown, Speech};
pub(crate) use tokens::Tokens;
