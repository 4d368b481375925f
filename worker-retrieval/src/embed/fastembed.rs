//! A BERT-like ONNX model from local files, run by fastembed.

use super::{EmbedError, Embedder, Options, onnxruntime, spec::Spec};
use fastembed::{InitOptionsUserDefined, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel};
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};
use tokenizers::Tokenizer;

/// Two sessions of one model: a question never waits for a document.
pub struct FastEmbed {
    id: String,
    dimensions: usize,
    queries: Mutex<TextEmbedding>,
    passages: Mutex<TextEmbedding>,
    counter: Tokenizer,
    spec: Spec,
    /// Texts that are computed together.
    batch: usize,
    /// The vocabulary has no capitals and the tokenizer does not lower them itself.
    lower: bool,
}

impl FastEmbed {
    /// Loads `model.onnx` and `tokenizer.json` from the directory `name` in `models`, used as `embedder.toml` beside them or
    /// the name says (see [`Spec`]).
    pub fn open(name: &str, models: &Path, options: Options) -> Result<Self, EmbedError> {
        let path = models.join(name);
        let onnx = read("embedding model", &path.join("model.onnx"))?;
        let tokenizer = read("tokenizer", &path.join("tokenizer.json"))?;
        let spec = Spec::read(&path)?;
        let settings = InitOptionsUserDefined::new()
            .with_environment(onnxruntime::environment(models)?)
            .with_execution_providers(onnxruntime::providers())
            .with_max_length(spec.max_tokens)
            .with_intra_threads(options.threads())
            // Idle threads that spin would take the cores from a language model in the same process.
            .with_session_config("session.intra_op.allow_spinning", "0");
        let id = format!("{name}:{}", fingerprint(&[&onnx, &tokenizer, spec.mark(name).as_bytes()]));
        let broken = |reason: String| EmbedError::Model { path: path.clone(), reason };
        let batch = if spec.batches(&onnx) { options.batch.max(1) } else { 1 };
        let files = tokenizer_files(tokenizer, spec.max_tokens);
        let model = UserDefinedEmbeddingModel::new(onnx, files).with_pooling(spec.pooling.into());
        let load = || TextEmbedding::try_new_from_user_defined(model.clone(), settings.clone());
        let mut queries = load().map_err(|error| broken(error.to_string()))?;
        let passages = load().map_err(|error| broken(error.to_string()))?;
        let trial = queries.embed(["a"], None).map_err(|error| broken(error.to_string()))?;
        let dimensions = trial.first().map_or(0, Vec::len);
        let mut counter = queries.tokenizer.clone();
        counter.with_padding(None);
        counter.with_truncation(None).map_err(|error| broken(error.to_string()))?;
        let lower = counter.encode_fast("A", false).is_ok_and(|capital| capital.get_ids() == unknown(&counter));
        let (queries, passages) = (Mutex::new(queries), Mutex::new(passages));
        Ok(Self { id, dimensions, queries, passages, counter, spec, batch, lower })
    }

    /// Texts of about one length together, for what is shorter than its neighbours is padded.
    ///
    /// A model that quantizes its activations as they come takes one text at a time: it scales them over the whole batch, so
    /// that a text's vector would depend on its neighbours.
    fn embed(&self, model: &Mutex<TextEmbedding>, prefix: &str, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&at| texts[at].len());
        let mut vectors = vec![Vec::new(); texts.len()];
        for part in order.chunks(self.batch) {
            let batch: Vec<String> = part.iter().map(|&at| self.written(prefix, texts[at])).collect();
            let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
            let computed = model.embed(batch, None).map_err(|error| EmbedError::Failed(error.to_string()))?;
            part.iter().zip(computed).for_each(|(&at, vector)| vectors[at] = vector);
        }
        Ok(vectors)
    }

    fn written(&self, prefix: &str, text: &str) -> String {
        let text = format!("{prefix}{text}");
        if self.lower { text.to_lowercase() } else { text }
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
        self.embed(&self.queries, &self.spec.query_prefix, texts)
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed(&self.passages, &self.spec.passage_prefix, texts)
    }

    fn count_tokens(&self, text: &str) -> usize {
        // An encoder that fails on a text is no reason to lose it: its characters bound its tokens.
        self.counter.encode_fast(text, false).map_or_else(|_| text.chars().count(), |encoding| encoding.len())
    }
}

pub(crate) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, EmbedError> {
    std::fs::read(path).map_err(|source| EmbedError::File { what, path: path.into(), source })
}

fn unknown(tokenizer: &Tokenizer) -> Vec<u32> {
    tokenizer.token_to_id("[UNK]").into_iter().collect()
}

fn fingerprint(parts: &[&[u8]]) -> String {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `tokenizer.json` says all that a BERT tokenizer needs; fastembed wants to read the padding token and the longest
/// input from three more files, which hold nothing else that it uses.
pub(crate) fn tokenizer_files(tokenizer_file: Vec<u8>, max_tokens: usize) -> TokenizerFiles {
    let config = format!(r#"{{"model_max_length": {max_tokens}, "pad_token": "{}"}}"#, padding(&tokenizer_file));
    TokenizerFiles {
        tokenizer_file,
        config_file: b"{}".to_vec(),
        special_tokens_map_file: b"{}".to_vec(),
        tokenizer_config_file: config.into_bytes(),
    }
}

/// `[PAD]` in BERT's vocabularies, `<pad>` in RoBERTa's.
fn padding(tokenizer: &[u8]) -> &'static str {
    let roberta = b"\"<pad>\"";
    if tokenizer.windows(roberta.len()).any(|window| window == roberta) { "<pad>" } else { "[PAD]" }
}
