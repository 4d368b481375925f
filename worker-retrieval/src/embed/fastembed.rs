//! A BERT-like ONNX model from local files, run by fastembed.

use super::{EmbedError, Embedder, onnxruntime};
use fastembed::{InitOptionsUserDefined, Pooling, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel};
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    thread::available_parallelism,
};
use tokenizers::Tokenizer;

/// Tokens the model looks at; what follows is ignored.
const MAX_TOKENS: usize = 512;

/// Two sessions of one model: a question never waits for a document.
pub struct FastEmbed {
    id: String,
    dimensions: usize,
    queries: Mutex<TextEmbedding>,
    passages: Mutex<TextEmbedding>,
    counter: Tokenizer,
    /// The vocabulary has no capitals and the tokenizer does not lower them itself.
    lower: bool,
}

impl FastEmbed {
    /// Loads `model.onnx` and `tokenizer.json` from the directory `name` in `models`. The models called `bge-…` take a
    /// text's vector from its first token, all others average its tokens.
    pub fn open(name: &str, models: &Path, threads: usize) -> Result<Self, EmbedError> {
        let path = models.join(name);
        let onnx = read("embedding model", &path.join("model.onnx"))?;
        let tokenizer = read("tokenizer", &path.join("tokenizer.json"))?;
        let environment = onnxruntime::environment(models)?;
        let cores = available_parallelism().map_or(1, usize::from);
        let options = InitOptionsUserDefined::new()
            .with_environment(environment)
            .with_max_length(MAX_TOKENS)
            .with_intra_threads(if threads == 0 { cores } else { threads })
            // Idle threads that spin would take the cores from a language model in the same process.
            .with_session_config("session.intra_op.allow_spinning", "0");
        let id = format!("{name}:{}", fingerprint(&onnx, &tokenizer));
        let broken = |reason: String| EmbedError::Model { path: path.clone(), reason };
        let pooling = if name.starts_with("bge-") { Pooling::Cls } else { Pooling::Mean };
        let model = UserDefinedEmbeddingModel::new(onnx, tokenizer_files(tokenizer)).with_pooling(pooling);
        let load = || TextEmbedding::try_new_from_user_defined(model.clone(), options.clone());
        let mut queries = load().map_err(|error| broken(error.to_string()))?;
        let passages = load().map_err(|error| broken(error.to_string()))?;
        let trial = queries.embed(["a"], None).map_err(|error| broken(error.to_string()))?;
        let dimensions = trial.first().map_or(0, Vec::len);
        let mut counter = queries.tokenizer.clone();
        counter.with_padding(None);
        counter.with_truncation(None).map_err(|error| broken(error.to_string()))?;
        let lower = counter.encode_fast("A", false).is_ok_and(|capital| capital.get_ids() == unknown(&counter));
        Ok(Self { id, dimensions, queries: Mutex::new(queries), passages: Mutex::new(passages), counter, lower })
    }
}

impl FastEmbed {
    /// One text at a time: an int8 model scales its activations over the whole batch, so that a text's vector would depend
    /// on its neighbours, and padding costs more than a batch gains on a CPU.
    fn embed(&self, model: &Mutex<TextEmbedding>, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let lowered = texts.iter().map(|text| if self.lower { text.to_lowercase() } else { (*text).to_owned() });
        let vectors = lowered.map(|text| {
            let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
            let vector = model.embed([text], None).map(|mut vectors| vectors.pop().unwrap_or_default());
            vector.map_err(|error| EmbedError::Failed(error.to_string()))
        });
        vectors.collect()
    }
}

impl Embedder for FastEmbed {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed(&self.queries, texts)
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed(&self.passages, texts)
    }

    fn count_tokens(&self, text: &str) -> usize {
        // An encoder that fails on a text is no reason to lose it: its characters bound its tokens.
        self.counter.encode_fast(text, false).map_or_else(|_| text.chars().count(), |encoding| encoding.len())
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, EmbedError> {
    std::fs::read(path).map_err(|source| EmbedError::File { what, path: path.into(), source })
}

fn unknown(tokenizer: &Tokenizer) -> Vec<u32> {
    tokenizer.token_to_id("[UNK]").into_iter().collect()
}

fn fingerprint(onnx: &[u8], tokenizer: &[u8]) -> String {
    let hash = Sha256::new().chain_update(onnx).chain_update(tokenizer).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `tokenizer.json` says all that a BERT tokenizer needs; fastembed wants to read the padding token and the longest
/// input from three more files, which hold nothing else that it uses.
fn tokenizer_files(tokenizer_file: Vec<u8>) -> TokenizerFiles {
    let config = format!(r#"{{"model_max_length": {MAX_TOKENS}, "pad_token": "[PAD]"}}"#);
    TokenizerFiles {
        tokenizer_file,
        config_file: b"{}".to_vec(),
        special_tokens_map_file: b"{}".to_vec(),
        tokenizer_config_file: config.into_bytes(),
    }
}
