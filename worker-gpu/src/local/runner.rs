//! What computes: a model on one device.

use super::batch::Batch;

/// A token of a sequence, or the numbers to choose it from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Chosen {
    /// The logits of every token of the vocabulary.
    Logits(Vec<f32>),
    /// The device has chosen.
    #[cfg_attr(not(any(feature = "cuda", test)), expect(dead_code, reason = "only a GPU chooses"))]
    Token(u32),
}

/// The forward pass failed; nothing that the runner holds can be relied upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the forward pass failed: {0}")]
pub(crate) struct RunnerError(pub String);

/// A model on one device: its weights, its KV blocks, and how to compute a batch.
///
/// A sequence's results never depend on what else is in the batch nor on how its prompt is cut into chunks: bit for bit
/// on a CPU, within the rounding of the arithmetic on a GPU.
pub(crate) trait Runner: Send {
    /// KV blocks that it has room for.
    fn blocks(&self) -> usize;

    /// Computes the batch's tokens, stores their keys and values, and answers `batch.wanted` in order.
    fn forward(&mut self, batch: &Batch<'_>) -> Result<Vec<Chosen>, RunnerError>;
}
