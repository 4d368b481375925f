//! Between words and tokens: chat template and tokenizer one way, detokenizer and stop strings the other.

mod answer;
mod dates;
mod detokenize;
mod json;
mod speech;
mod stop;
mod template;
mod tokens;
mod vocabulary;

pub(crate) use answer::{CallSyntax, Meaning, Parser, Part, Syntax};
pub(crate) use detokenize::Detokenizer;
pub(crate) use speech::{Shown, Speech};
pub(crate) use tokens::{Prompt, Tokens};
