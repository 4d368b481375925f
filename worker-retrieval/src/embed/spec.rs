//! How a model of sentence vectors wants to be used: what its files do not say.

use super::EmbedError;
use fastembed::Pooling;
use serde::Deserialize;
use std::path::Path;

/// Beside `model.onnx` and `tokenizer.json`; may be missing for models with a known name.
const FILE: &str = "embedder.toml";
/// Tokens most models were trained on at most.
const MAX_TOKENS: usize = 512;
/// Operators that scale activations by the largest one in their input, which is the whole batch.
const DYNAMIC: [&[u8]; 3] = [b"DynamicQuantize", b"MatMulInteger", b"QAttention"];

/// A model's use, from `embedder.toml` or its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// How tokens become one vector: `cls` (the first one's) or `mean`.
    pub pooling: Pool,
    /// Put before every question.
    pub query_prefix: String,
    /// Put before every passage.
    pub passage_prefix: String,
    /// Tokens it looks at; what follows is ignored.
    pub max_tokens: usize,
    /// Whether texts may be computed together without changing one another; absent: unless the model quantizes activations
    /// as they come.
    pub batches: Option<bool>,
}

/// How the vectors of tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// That of the first token.
    Cls,
    /// Their mean.
    Mean,
}

impl Default for Spec {
    fn default() -> Self {
        let (query_prefix, passage_prefix) = (String::new(), String::new());
        Self { pooling: Pool::Mean, query_prefix, passage_prefix, max_tokens: MAX_TOKENS, batches: None }
    }
}

impl Spec {
    /// Reads `embedder.toml` in `directory`; without one the directory's name decides.
    pub fn read(directory: &Path) -> Result<Self, EmbedError> {
        let path = directory.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let spec: Self = toml::from_str(&text).map_err(|error| bad(&path, error.message()))?;
                let fits = (8..=8192).contains(&spec.max_tokens);
                if fits { Ok(spec) } else { Err(bad(&path, "max_tokens: expected 8 to 8192")) }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::known(directory.file_name().and_then(|name| name.to_str()).unwrap_or_default()))
            }
            Err(source) => Err(EmbedError::File { what: "description of the embedding model", path, source }),
        }
    }

    /// By the model's name, as its authors say; the instructions that BGE 1.5 leaves to the user are left out, for they gain
    /// nothing measurable and a question has one vector for passages and for curated questions.
    fn known(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let prefixes = |query: &str, passage: &str| (query.to_owned(), passage.to_owned());
        let (query_prefix, passage_prefix) = if name.contains("e5-") {
            prefixes("query: ", "passage: ")
        } else if name.starts_with("nomic-embed-text") {
            prefixes("search_query: ", "search_document: ")
        } else if name.starts_with("mxbai-embed") || name.starts_with("snowflake-arctic-embed") {
            prefixes("Represent this sentence for searching relevant passages: ", "")
        } else {
            prefixes("", "")
        };
        let cls = ["bge-", "mxbai-embed", "snowflake-arctic-embed", "gte-large-en-v1.5", "gte-base-en-v1.5"];
        let pooling = if cls.iter().any(|start| name.starts_with(start)) { Pool::Cls } else { Pool::Mean };
        Self { pooling, query_prefix, passage_prefix, ..Self::default() }
    }

    /// Whether texts computed together keep their vectors (up to rounding).
    pub fn batches(&self, onnx: &[u8]) -> bool {
        let quantizes = || DYNAMIC.iter().any(|name| onnx.windows(name.len()).any(|window| window == *name));
        self.batches.unwrap_or_else(|| !quantizes())
    }

    /// What changes the vectors, apart from the model's files; empty where it follows from the name alone.
    pub fn mark(&self, name: &str) -> String {
        let Self { pooling, query_prefix, passage_prefix, max_tokens, .. } = self;
        let same = *self == Self { batches: self.batches, ..Self::known(name) };
        if same { String::new() } else { format!("{pooling:?}\n{query_prefix}\n{passage_prefix}\n{max_tokens}") }
    }
}

impl From<Pool> for Pooling {
    fn from(pool: Pool) -> Self {
        match pool {
            Pool::Cls => Pooling::Cls,
            Pool::Mean => Pooling::Mean,
        }
    }
}

fn bad(path: &Path, reason: impl Into<String>) -> EmbedError {
    EmbedError::Spec { path: path.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_before_a_name() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("multilingual-e5-small");
        std::fs::create_dir(&directory).unwrap();
        let known = Spec::read(&directory).unwrap();
        assert_eq!((known.query_prefix.as_str(), known.pooling), ("query: ", Pool::Mean));
        assert_eq!(known.mark("multilingual-e5-small"), "");
        std::fs::write(directory.join(FILE), "pooling = \"cls\"\nquery_prefix = \"问：\"\nmax_tokens = 256\n").unwrap();
        let read = Spec::read(&directory).unwrap();
        assert_eq!((read.pooling, read.query_prefix.as_str(), read.passage_prefix.as_str()), (Pool::Cls, "问：", ""));
        assert_ne!(read.mark("multilingual-e5-small"), "", "its vectors are others");
    }

    #[test]
    fn a_bad_file_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        for (text, word) in
            [("pooling = \"max\"", "pooling"), ("poling = \"cls\"", "poling"), ("max_tokens = 0", "max_tokens")]
        {
            std::fs::write(scratch.path().join(FILE), text).unwrap();
            let error = Spec::read(scratch.path()).unwrap_err().to_string();
            assert!(error.contains(FILE) && (error.contains(word) || error.contains("unknown")), "{error}");
        }
    }

    #[test]
    fn a_model_that_quantizes_as_it_goes_computes_texts_one_by_one() {
        let spec = Spec::default();
        assert!(spec.batches(b"..MatMul..") && !spec.batches(b"..DynamicQuantizeLinear.."));
        assert!(Spec { batches: Some(true), ..spec }.batches(b"..DynamicQuantizeLinear.."));
    }
}
