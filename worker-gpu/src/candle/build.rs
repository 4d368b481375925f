//! From a model's files to a model on the CPU.

use super::{Attention, HeadNorms, Layer, Linear, Model, Rope};
use crate::weights::{Checkpoint, Data, Float, Kind, LayerPart, Part, Weight, WeightsError, WeightsProblem};
use candle_core::{
    DType, Device,
    quantized::{GgmlDType, ggml_file::qtensor_from_ggml},
};
use std::{path::Path, sync::Arc};

/// Builds a model from a checkpoint at `path`.
pub(crate) struct Builder<'a> {
    pub path: &'a Path,
    pub checkpoint: &'a Checkpoint,
}

/// Bytes that the weights will take on the CPU.
pub(crate) fn bytes(checkpoint: &Checkpoint) -> Result<u64, WeightsError> {
    let held = |part| {
        let info = checkpoint.info(part)?;
        let count: usize = info.dims.iter().product();
        Ok(match info.kind {
            Kind::Blocks(GgmlDType::Q4K | GgmlDType::Q6K) | Kind::Float(_) => {
                info.kind.bytes(count).unwrap_or(0) as u64
            }
            // Eight weights of four bits per word. These and what has no kernel of its own are kept in eight bits.
            Kind::I32 => 9 * count as u64,
            Kind::Blocks(_) | Kind::Other => 9 * count as u64 / 8,
        })
    };
    checkpoint.shape.parts().map(held).sum()
}

impl Builder<'_> {
    /// Loads the weights; positions up to `context` can be computed.
    pub fn model(&self, context: usize) -> Result<Model, WeightsError> {
        let shape = &self.checkpoint.shape;
        let embedding = Arc::new(self.linear(Part::Embedding)?);
        let head = if shape.tied { embedding.clone() } else { Arc::new(self.linear(Part::Head)?) };
        Ok(Model {
            layers: (0..shape.layers).map(|number| self.layer(number)).collect::<Result<_, _>>()?,
            norm: self.checkpoint.norm(Part::Norm)?,
            head,
            attention: Attention {
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                head_dim: shape.head_dim,
                norm_epsilon: shape.epsilon,
                rope: Rope::new(shape.pairing, &shape.frequencies, context),
            },
            epsilon: shape.epsilon,
            embedding,
        })
    }

    fn layer(&self, number: usize) -> Result<Layer, WeightsError> {
        let norm = |part| self.checkpoint.norm(Part::Layer(number, part));
        let linear = |part| self.linear(Part::Layer(number, part));
        Ok(Layer {
            attention_norm: norm(LayerPart::AttentionNorm)?,
            query: linear(LayerPart::Query)?,
            key: linear(LayerPart::Key)?,
            value: linear(LayerPart::Value)?,
            head_norms: self.head_norms(number)?,
            output: linear(LayerPart::Output)?,
            mlp_norm: norm(LayerPart::MlpNorm)?,
            gate: linear(LayerPart::Gate)?,
            up: linear(LayerPart::Up)?,
            down: linear(LayerPart::Down)?,
        })
    }

    fn head_norms(&self, number: usize) -> Result<Option<HeadNorms>, WeightsError> {
        if !self.checkpoint.shape.has_head_norms() {
            return Ok(None);
        }
        let norm = |part| self.checkpoint.norm(Part::Layer(number, part));
        Ok(Some(HeadNorms { query: norm(LayerPart::QueryNorm)?, key: norm(LayerPart::KeyNorm)? }))
    }

    fn linear(&self, part: Part) -> Result<Linear, WeightsError> {
        let (weight, bias) = (self.checkpoint.matrix(part)?, self.checkpoint.bias(part)?);
        let problem = |error: candle_core::Error| WeightsProblem::Tensor {
            name: format!("{part:?}"),
            problem: error.to_string(),
        };
        linear(weight, bias).map_err(|error| problem(error).at(self.path))
    }
}

/// Weights of four bits become `Q8_0` without loss.
fn linear(weight: Weight, bias: Vec<f32>) -> candle_core::Result<Linear> {
    let (outputs, inputs) = (weight.outputs, weight.inputs);
    let floats = |dtype, bytes: &[u8], bias| Linear::from_floats(dtype, bytes, outputs, inputs, bias);
    let blocks = |dtype, bytes: &[u8], bias| {
        Linear::new(&qtensor_from_ggml(dtype, bytes, vec![outputs, inputs], &Device::Cpu)?, bias)
    };
    match weight.data {
        Data::Floats(Float::F32, bytes) => floats(DType::F32, &bytes, bias),
        Data::Floats(Float::F16, bytes) => floats(DType::F16, &bytes, bias),
        Data::Floats(Float::Bf16, bytes) => floats(DType::BF16, &bytes, bias),
        Data::Blocks(dtype, bytes) => blocks(dtype, &bytes, bias),
        Data::Int4(int4) => blocks(GgmlDType::Q8_0, &int4.q8_0(), bias),
    }
}
