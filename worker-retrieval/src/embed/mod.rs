//! The embedder port: texts become vectors whose cosine tells how close their meanings are.

mod bilingual;
mod fastembed;
mod hashing;
mod onnxruntime;

pub use bilingual::Bilingual;
pub use hashing::HashingEmbedder;

use std::{path::Path, path::PathBuf, sync::Arc};

/// Turns texts into unit vectors.
pub trait Embedder: Send + Sync {
    /// Name and hash of the model; vectors of embedders with different ids are not comparable.
    fn id(&self) -> &str;

    /// Length of every vector.
    fn dimensions(&self) -> usize;

    /// The vectors of customers' questions, in order. A vector does not depend on the texts beside it.
    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;

    /// The vectors of passages, in order. Does not hold up [`Embedder::embed_queries`].
    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;

    /// Length of `text` in the model's tokens, without those that mark its start and end.
    fn count_tokens(&self, text: &str) -> usize;
}

/// Why there is no embedder, or no vector.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The choice names no embedder.
    #[error(
        "retrieval.embedder = {0:?}: expected fastembed:<directory in models_dir>, fastembed:<for Chinese>+<for the rest>, or hashing: for tests"
    )]
    Unknown(String),
    /// A file of the model, or the runtime library, is not there or cannot be read.
    #[error("{what} {}: {source}; `make models` fetches it", path.display())]
    File {
        /// What the file is.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime library cannot be used.
    #[error("ONNX Runtime: {0}; unset ORT_DYLIB_PATH and run `make models` for the version that fits")]
    Runtime(String),
    /// The model's files are there but unusable.
    #[error("embedder in {}: {reason}; delete it and run `make models`", path.display())]
    Model {
        /// The model's directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model failed on a text.
    #[error("embedding failed: {0}")]
    Failed(String),
}

/// Opens the embedder that `choice` names; `threads` is 0 for one per core.
///
/// `fastembed:A+B` is the model in directory A for Chinese and B for all else.
/// Loading and a first embedding happen here, so whatever is wrong with the model's files fails here.
pub fn connect(choice: &str, models: &Path, threads: usize) -> Result<Arc<dyn Embedder>, EmbedError> {
    match choice.split_once(':') {
        Some(("fastembed", names)) if !names.is_empty() => {
            let open = |name| fastembed::FastEmbed::open(name, models, threads);
            Ok(match names.split_once('+') {
                Some((chinese, other)) => Arc::new(Bilingual::new(Box::new(open(chinese)?), Box::new(open(other)?))),
                None => Arc::new(open(names)?),
            })
        }
        Some(("hashing", "")) => {
            tracing::warn!("retrieval.embedder = hashing: finds words, not meanings; it is for tests only");
            Ok(Arc::new(HashingEmbedder))
        }
        _ => Err(EmbedError::Unknown(choice.into())),
    }
}
