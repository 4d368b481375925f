//! A cross-encoder, which reads question and passage together: slower than vectors, and a better judge.

use crate::embed::{
    EmbedError, Options,
    fastembed::{read, tokenizer_files},
    onnxruntime,
};
use fastembed::{RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};
use protocol::Passage;
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Passages that are read again at most, the best ones of the ranking.
pub const MOST: usize = 30;
/// Tokens of question and passage together.
const MAX_TOKENS: usize = 512;

/// An ONNX model that scores pairs.
pub struct Reranker {
    model: Mutex<TextRerank>,
}

/// Opens the reranker that `choice` names: `fastembed:<directory in models>` with `model.onnx` and `tokenizer.json`. A first
/// pair is scored here, so whatever is wrong with the files fails here.
pub fn connect(choice: &str, models: &Path, options: Options) -> Result<Reranker, EmbedError> {
    match choice.split_once(':') {
        Some(("fastembed", name)) if !name.is_empty() => Reranker::open(name, models, options),
        _ => Err(EmbedError::UnknownReranker(choice.into())),
    }
}

impl Reranker {
    fn open(name: &str, models: &Path, options: Options) -> Result<Self, EmbedError> {
        let path = models.join(name);
        let onnx = read("reranking model", &path.join("model.onnx"))?;
        let files = tokenizer_files(read("tokenizer", &path.join("tokenizer.json"))?, MAX_TOKENS);
        let settings = RerankInitOptionsUserDefined::new()
            .with_environment(onnxruntime::environment(models)?)
            .with_execution_providers(onnxruntime::providers())
            .with_max_length(MAX_TOKENS)
            .with_intra_threads(options.threads())
            .with_session_config("session.intra_op.allow_spinning", "0");
        let broken = |error: fastembed::Error| EmbedError::Model { path: path.clone(), reason: error.to_string() };
        let model = UserDefinedRerankingModel::new(onnx, files);
        let mut model = TextRerank::try_new_from_user_defined(model, settings).map_err(broken)?;
        model.rerank("a", ["b"], false, None).map_err(broken)?;
        Ok(Self { model: Mutex::new(model) })
    }

    /// Puts the first [`MOST`] of `ranking` in the order of what the model thinks of them; their scores are the model's. What
    /// comes after them is left out.
    ///
    /// Each pair by itself: a quantized model's score would depend on the pairs beside it.
    pub fn rerank(&self, question: &str, ranking: Vec<Passage>) -> Result<Vec<Passage>, EmbedError> {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let scored = ranking.into_iter().take(MOST).map(|passage| {
            let text = format!("{}\n{}", passage.title, passage.text);
            let scores = model.rerank(question, [text.as_str()], false, None);
            let scores = scores.map_err(|error| EmbedError::Failed(error.to_string()))?;
            let score = scores.first().map_or(f32::NEG_INFINITY, |result| result.score);
            Ok(Passage { score, ..passage })
        });
        let mut passages: Vec<Passage> = scored.collect::<Result<_, EmbedError>>()?;
        passages.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(passages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_choice_and_a_missing_model_are_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = |choice| connect(choice, empty.path(), Options::default()).err().unwrap().to_string();
        assert!(error("bge-reranker").contains("retrieval.reranker"), "{}", error("bge-reranker"));
        assert!(error("fastembed:none").contains("none/model.onnx"), "{}", error("fastembed:none"));
    }
}
