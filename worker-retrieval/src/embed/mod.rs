//! The embedder port: texts become vectors whose cosine tells how close their meanings are.

mod bilingual;
pub(crate) mod fastembed;
mod hashing;
pub(crate) mod onnxruntime;
mod spec;

pub use bilingual::Bilingual;
pub use hashing::HashingEmbedder;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
};

/// Turns texts into unit vectors.
pub trait Embedder: Send + Sync {
    /// Name and hash of the model; vectors of embedders with different ids are not comparable.
    fn id(&self) -> &str;

    /// Length of every vector.
    fn dimensions(&self) -> usize;

    /// The vectors of customers' questions, in order. A vector does not depend on the texts beside it, save for rounding.
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
    /// The choice names no reranker.
    #[error("retrieval.reranker = {0:?}: expected fastembed:<directory in models_dir>")]
    UnknownReranker(String),
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
    /// The description of a model is not acceptable.
    #[error("{}: {reason}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The files of an embedder are not those that made some vectors.
    #[error(
        "the vectors were made by {wanted}, the files in models_dir are {found}: put the former ones back, or rebuild the knowledge"
    )]
    Changed {
        /// The id that is wanted.
        wanted: String,
        /// That of what is there.
        found: String,
    },
    /// The model failed on a text.
    #[error("embedding failed: {0}")]
    Failed(String),
}

/// How models are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Threads of one embedding; 0: one per core.
    pub threads: usize,
    /// Texts computed together, where that does not change their vectors; 0 and 1: each by itself, which is as fast on a CPU.
    pub batch: usize,
}

impl Options {
    /// The threads, as many as there are cores where none are asked for.
    pub(crate) fn threads(self) -> usize {
        if self.threads == 0 { available_parallelism().map_or(1, usize::from) } else { self.threads }
    }
}

/// Opens the embedder that `choice` names; `threads` is 0 for one per core.
pub fn connect(choice: &str, models: &Path, threads: usize) -> Result<Arc<dyn Embedder>, EmbedError> {
    open(choice, models, Options { threads, ..Options::default() })
}

/// Opens the embedder that `choice` names.
///
/// `fastembed:A+B` is the model in directory A for Chinese and B for all else.
/// Loading and a first embedding happen here, so whatever is wrong with the model's files fails here.
pub fn open(choice: &str, models: &Path, options: Options) -> Result<Arc<dyn Embedder>, EmbedError> {
    match choice.split_once(':') {
        Some(("fastembed", names)) if !names.is_empty() => {
            let open = |name| fastembed::FastEmbed::open(name, models, options);
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

/// Opens the embedder with this id again, for vectors that it made earlier; fails if its files are others by now.
pub fn reopen(id: &str, models: &Path, options: Options) -> Result<Arc<dyn Embedder>, EmbedError> {
    let embedder = open(&choice(id), models, options)?;
    if embedder.id() != id {
        return Err(EmbedError::Changed { wanted: id.into(), found: embedder.id().into() });
    }
    Ok(embedder)
}

/// What [`open`] takes, for the embedder with this id.
fn choice(id: &str) -> String {
    if id == HashingEmbedder.id() {
        return "hashing:".into();
    }
    let names: Vec<&str> = id.split('+').map(|part| part.rsplit_once(':').map_or(part, |(name, _)| name)).collect();
    format!("fastembed:{}", names.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_choice() {
        assert_eq!(choice("hashing:v1"), "hashing:");
        assert_eq!(choice("a:01"), "fastembed:a");
        assert_eq!(choice("a:01+b:23"), "fastembed:a+b");
        assert!(reopen("hashing:v1", Path::new("/"), Options::default()).is_ok());
    }
}
