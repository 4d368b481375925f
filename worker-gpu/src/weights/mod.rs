//! Reads model files.

mod gguf;
mod verify;

pub use gguf::GgufError;
pub(crate) use gguf::{Gguf, Shape};
pub use verify::Mismatch;
pub(crate) use verify::check;
