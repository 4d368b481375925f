//! From a checkpoint to a model on a device.

use super::{
    device::{Buffer, Device, DeviceError},
    kernels::Heads,
    linear::{Linear, Matrix},
    model::{Layer, Model, Sizes},
    runner::unsupported,
};
use crate::{
    local::LoadError,
    weights::{Checkpoint, Kind, LayerPart, Pairing, Part, Shape, Weight, WeightsError, WeightsProblem},
};
use candle_core::quantized::GgmlDType;
use half::bf16;
use std::{path::Path, sync::Arc};

impl From<&Shape> for Sizes {
    fn from(shape: &Shape) -> Self {
        Self {
            layers: shape.layers,
            hidden: shape.hidden,
            inner: shape.feed_forward,
            heads: Heads { heads: shape.heads, kv_heads: shape.kv_heads, dim: shape.head_dim },
            vocabulary: shape.vocabulary,
            epsilon: shape.epsilon,
            pairs: shape.frequencies.len(),
            neighbours: shape.pairing == Pairing::Neighbours,
        }
    }
}

/// Bytes that the weights will take on a device, about.
pub(super) fn bytes(checkpoint: &Checkpoint) -> Result<usize, WeightsError> {
    let held = |part| {
        let info = checkpoint.info(part)?;
        let count: usize = info.dims.iter().product();
        let table = matches!(part, Part::Embedding | Part::Head);
        Ok(match info.kind {
            // Eight weights of four bits per word, and their scales.
            Kind::I32 => count * 9 / 2,
            // Four bits, and a scale and a bias of 16 bits for 32 weights.
            Kind::Blocks(GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q4K) if !table => count * 5 / 8,
            _ => count * size_of::<bf16>(),
        })
    };
    checkpoint.shape.parts().map(held).sum()
}

/// Loads a checkpoint at `path`, matrix by matrix; positions up to `context` can be computed.
pub(crate) fn model(
    device: &Arc<dyn Device>,
    checkpoint: &Checkpoint,
    path: &Path,
    context: usize,
) -> Result<Model, LoadError> {
    let shape = &checkpoint.shape;
    let sizes = Sizes::from(shape);
    if let Some(problem) = unsupported(&sizes) {
        return Err(LoadError::Prepare(format!("{}: {problem}", path.display())));
    }
    let loader = Loader { device, checkpoint, path };
    let angles: Vec<f32> = (0..context)
        .flat_map(|position| shape.frequencies.iter().map(move |frequency| position as f64 * frequency))
        .flat_map(|angle| [angle.cos() as f32, angle.sin() as f32])
        .collect();
    Ok(Model {
        device: device.clone(),
        sizes,
        embedding: loader.dense(Part::Embedding)?,
        layers: (0..shape.layers).map(|number| loader.layer(number)).collect::<Result<_, _>>()?,
        norm: loader.norm(Part::Norm)?,
        head: if shape.tied { None } else { Some(loader.dense(Part::Head)?) },
        angles: Buffer::from_slice(device, &angles).map_err(failed)?,
    })
}

struct Loader<'a> {
    device: &'a Arc<dyn Device>,
    checkpoint: &'a Checkpoint,
    path: &'a Path,
}

impl Loader<'_> {
    fn layer(&self, number: usize) -> Result<Layer, LoadError> {
        let part = |part| Part::Layer(number, part);
        let projections = [LayerPart::Query, LayerPart::Key, LayerPart::Value].map(part);
        let normed = self.checkpoint.shape.has_head_norms();
        let head_norm = |own| normed.then(|| self.norm(part(own))).transpose();
        Ok(Layer {
            attention_norm: self.norm(part(LayerPart::AttentionNorm))?,
            qkv: self.linear(&projections)?,
            bias: self.biases(&projections)?,
            query_norm: head_norm(LayerPart::QueryNorm)?,
            key_norm: head_norm(LayerPart::KeyNorm)?,
            output: self.linear(&[part(LayerPart::Output)])?,
            mlp_norm: self.norm(part(LayerPart::MlpNorm))?,
            gate_up: self.linear(&[LayerPart::Gate, LayerPart::Up].map(part))?,
            down: self.linear(&[part(LayerPart::Down)])?,
        })
    }

    fn linear(&self, parts: &[Part]) -> Result<Linear, LoadError> {
        let read = |part: &Part| self.matrix(*part, Matrix::read);
        let matrices = parts.iter().map(read).collect::<Result<_, _>>()?;
        Linear::new(self.device, matrices).map_err(failed)
    }

    fn dense(&self, part: Part) -> Result<Linear, LoadError> {
        Linear::new(self.device, vec![self.matrix(part, Matrix::read_dense)?]).map_err(failed)
    }

    fn matrix(
        &self,
        part: Part,
        read: impl FnOnce(Weight) -> candle_core::Result<Matrix>,
    ) -> Result<Matrix, LoadError> {
        let matrix = read(self.checkpoint.matrix(part)?);
        let problem = |error: candle_core::Error| WeightsProblem::Tensor {
            name: format!("{part:?}"),
            problem: error.to_string(),
        };
        Ok(matrix.map_err(|error| problem(error).at(self.path))?)
    }

    fn norm(&self, part: Part) -> Result<Buffer<f32>, LoadError> {
        Buffer::from_slice(self.device, &self.checkpoint.norm(part)?).map_err(failed)
    }

    /// The biases side by side; zero where only some have one.
    fn biases(&self, parts: &[Part]) -> Result<Option<Buffer<f32>>, LoadError> {
        let mut all = Vec::new();
        let mut any = false;
        for part in parts {
            let mut bias = self.checkpoint.bias(*part)?;
            any |= !bias.is_empty();
            bias.resize(self.checkpoint.shape.dims(*part)[0], 0.0);
            all.extend(bias);
        }
        any.then(|| Buffer::from_slice(self.device, &all).map_err(failed)).transpose()
    }
}

pub(super) fn failed(error: DeviceError) -> LoadError {
    LoadError::Prepare(error.to_string())
}
