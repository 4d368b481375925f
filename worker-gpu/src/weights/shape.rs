//! A model's sizes and constants, wherever they were read.

use super::{LayerPart, Part, WeightsProblem};
use crate::schedule::BLOCK;

/// The variations of the one decoder that this crate computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// Biases on queries, keys and values.
    Qwen2,
    /// Norms on query and key heads.
    Qwen3,
    /// Neither.
    Llama,
}

impl Architecture {
    /// By the name that both GGUF and `config.json` use.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            "llama" => Ok(Self::Llama),
            other => Err(format!("{other:?}; supported are qwen2, qwen3 and llama")),
        }
    }
}

/// Which elements of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// Element `i` with `i + n/2` (Qwen, and Llama in Hugging Face's format).
    Halves,
    /// Element `2i` with `2i + 1` (Llama as stored in GGUF).
    Neighbours,
}

/// What a model is, besides its weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub architecture: Architecture,
    pub layers: usize,
    pub hidden: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// The longest sequence that the model was trained for, in tokens.
    pub context: usize,
    /// Added to the mean square by the norms.
    pub epsilon: f32,
    pub vocabulary: usize,
    /// The head's weights are the embedding's.
    pub tied: bool,
    /// Which elements of query and key heads turn together.
    pub pairing: Pairing,
    /// By how much each pair turns per position, in radians; elements beyond the pairs stay.
    pub frequencies: Vec<f64>,
}

impl Shape {
    /// Bytes of a KV block when a number takes `size` bytes.
    pub fn block_bytes(&self, size: usize) -> usize {
        2 * size * self.layers * self.kv_heads * self.head_dim * BLOCK
    }

    /// Whether the sizes fit together.
    pub(super) fn check(&self) -> Result<(), WeightsProblem> {
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(WeightsProblem::key(
                "heads",
                format!("{heads} of queries are no multiple of {kv_heads} of keys"),
            ));
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return Err(WeightsProblem::key("head size", format!("{} is not even and positive", self.head_dim)));
        }
        Ok(())
    }

    /// Whether query and key heads are normalized.
    pub fn has_head_norms(&self) -> bool {
        self.architecture == Architecture::Qwen3
    }

    /// Whether a matrix without a bias is incomplete.
    pub(super) fn needs_bias(&self, part: Part) -> bool {
        let projection = matches!(part, Part::Layer(_, LayerPart::Query | LayerPart::Key | LayerPart::Value));
        self.architecture == Architecture::Qwen2 && projection
    }

    /// All weights that the model must have.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let head = (!self.tied).then_some(Part::Head);
        let normed = self.has_head_norms();
        let has = move |part: &LayerPart| normed || !matches!(part, LayerPart::QueryNorm | LayerPart::KeyNorm);
        let layer = move |number| {
            LayerPart::ALL.into_iter().filter(move |part| has(part)).map(move |part| Part::Layer(number, part))
        };
        [Part::Embedding, Part::Norm].into_iter().chain(head).chain((0..self.layers).flat_map(layer))
    }

    /// The dimensions of a weight.
    pub fn dims(&self, part: Part) -> Vec<usize> {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        match part {
            Part::Embedding | Part::Head => vec![self.vocabulary, self.hidden],
            Part::Norm => vec![self.hidden],
            Part::Layer(_, part) => match part {
                LayerPart::AttentionNorm | LayerPart::MlpNorm => vec![self.hidden],
                LayerPart::QueryNorm | LayerPart::KeyNorm => vec![self.head_dim],
                LayerPart::Query => vec![q, self.hidden],
                LayerPart::Key | LayerPart::Value => vec![kv, self.hidden],
                LayerPart::Output => vec![self.hidden, q],
                LayerPart::Gate | LayerPart::Up => vec![self.feed_forward, self.hidden],
                LayerPart::Down => vec![self.hidden, self.feed_forward],
            },
        }
    }
}
