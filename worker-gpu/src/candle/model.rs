//! The decoder: one architecture with the variations of Qwen2, Qwen3 and Llama, over packed tokens.

use super::{
    attention::{Attention, HeadNorms, Projected},
    kv::KvCache,
    linear::Linear,
    simd, with_floats,
};
use crate::local::Batch;
use candle_core::{Device, Result, Tensor, quantized::QTensor};
use candle_nn::ops::rms_norm;
use rayon::prelude::*;
use std::sync::Arc;

/// A loaded model.
pub(crate) struct Model {
    pub embedding: Arc<QTensor>,
    pub layers: Vec<Layer>,
    pub attention: Attention,
    pub norm: Tensor,
    pub head: Linear,
    /// Added to the mean square by the norms.
    pub epsilon: f32,
}

/// One block of the decoder.
pub(crate) struct Layer {
    pub attention_norm: Tensor,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub head_norms: Option<HeadNorms>,
    pub output: Linear,
    pub mlp_norm: Tensor,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

impl Model {
    /// Computes the batch's tokens, stores their keys and values, and returns the logits of its wanted rows in order,
    /// `[wanted][vocabulary]`.
    pub fn forward(&self, batch: &Batch, cache: &mut KvCache) -> Result<Vec<Vec<f32>>> {
        let tokens = Tensor::new(batch.tokens.as_slice(), &Device::Cpu)?;
        let wanted: Vec<u32> = batch.wanted.iter().map(|wanted| wanted.row).collect();
        let sampled = Tensor::new(wanted.as_slice(), &Device::Cpu)?;
        let mut xs = self.embedding.embedding(&tokens)?;
        for (number, layer) in self.layers.iter().enumerate() {
            let normed = rms_norm(&xs, &layer.attention_norm, self.epsilon)?;
            let mut attended = self.attend(number, layer, &normed, batch, cache)?;
            if number + 1 == self.layers.len() {
                // From here on only the rows that are sampled matter.
                if wanted.is_empty() {
                    return Ok(Vec::new());
                }
                (xs, attended) = (xs.index_select(&sampled, 0)?, attended.index_select(&sampled, 0)?);
            }
            xs = (xs + layer.output.forward(&attended)?)?;
            let normed = rms_norm(&xs, &layer.mlp_norm, self.epsilon)?;
            xs = (xs + layer.mlp(&normed)?)?;
        }
        self.head.forward(&rms_norm(&xs, &self.norm, self.epsilon)?)?.to_vec2()
    }

    fn attend(&self, number: usize, layer: &Layer, xs: &Tensor, batch: &Batch, cache: &mut KvCache) -> Result<Tensor> {
        let [queries, keys, values] = Linear::forward_all([&layer.query, &layer.key, &layer.value], xs)?;
        let floats = |tensor| with_floats(tensor, <[f32]>::to_vec);
        let projected = Projected { queries: floats(&queries)?, keys: floats(&keys)?, values: floats(&values)? };
        let attended = self.attention.run(cache, number, batch, layer.head_norms.as_ref(), projected);
        Tensor::from_vec(attended, (batch.tokens.len(), self.attention.heads * self.attention.head_dim), &Device::Cpu)
    }

    /// Prepares every weight for its first use.
    pub fn warm(&self) -> Result<()> {
        let layers = self.layers.iter().flat_map(Layer::linears);
        let all: Vec<&Linear> = std::iter::once(&self.head).chain(layers).collect();
        all.into_par_iter().try_for_each(Linear::warm)
    }
}

impl Layer {
    fn mlp(&self, xs: &Tensor) -> Result<Tensor> {
        let [gate, up] = Linear::forward_all([&self.gate, &self.up], xs)?;
        let inner = with_floats(&gate, |gate| with_floats(&up, |up| simd::silu_mul(gate, up)))??;
        self.down.forward(&Tensor::from_vec(inner, gate.shape(), &Device::Cpu)?)
    }

    fn linears(&self) -> [&Linear; 7] {
        [&self.query, &self.key, &self.value, &self.output, &self.gate, &self.up, &self.down]
    }
}
