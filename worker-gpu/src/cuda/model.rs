//! The decoder on a device: weights, and a forward pass that is a list of fused launches.

use super::{
    cache::KvCache,
    device::{Buffer, Device, DeviceError, Slice},
    inputs::{Counts, Places},
    kernels::{self, Attention, HeadWeights, Heads, Norm, Partial, Projected, Rotary},
    linear::Linear,
    space::Space,
};
use half::bf16;
use std::sync::Arc;

/// A model's sizes and constants, as far as the forward pass needs them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sizes {
    pub layers: usize,
    pub hidden: usize,
    pub inner: usize,
    pub heads: Heads,
    pub vocabulary: usize,
    pub epsilon: f32,
    /// Pairs of a head that turn.
    pub pairs: usize,
    /// Whether neighbours turn together, instead of halves.
    pub neighbours: bool,
}

/// A model's weights on a device.
pub(crate) struct Model {
    pub device: Arc<dyn Device>,
    pub sizes: Sizes,
    pub embedding: Linear,
    pub layers: Vec<Layer>,
    pub norm: Buffer<f32>,
    /// `None`: the embedding is the head too.
    pub head: Option<Linear>,
    /// `[position][pairs]` of (cos, sin).
    pub angles: Buffer<f32>,
}

/// One layer's weights.
pub(crate) struct Layer {
    pub attention_norm: Buffer<f32>,
    pub qkv: Linear,
    pub bias: Option<Buffer<f32>>,
    pub query_norm: Option<Buffer<f32>>,
    pub key_norm: Option<Buffer<f32>>,
    pub output: Linear,
    pub mlp_norm: Buffer<f32>,
    pub gate_up: Linear,
    pub down: Linear,
}

impl Layer {
    /// Elements of bf16 that its products need as scratch space.
    pub fn scratch(&self) -> usize {
        [&self.qkv, &self.output, &self.gate_up, &self.down].map(Linear::scratch).into_iter().max().unwrap_or(0)
    }
}

/// One step on its way through the layers.
struct Step<'a> {
    model: &'a Model,
    space: &'a Space,
    places: &'a Places,
    counts: Counts,
    splits: usize,
}

impl Model {
    /// Begins a step: computes all rows, keeps their keys and values, and leaves logits and chosen tokens in `space`.
    /// Contexts of single tokens are cut into `splits`.
    pub fn forward(
        &self,
        space: &Space,
        cache: &KvCache,
        places: &Places,
        counts: Counts,
        splits: usize,
    ) -> Result<(), DeviceError> {
        let step = Step { model: self, space, places, counts, splits };
        let (residual, hidden) = (space.residual.all(), self.sizes.hidden);
        kernels::embed(&*self.device, residual, self.embedding.table()?, places.tokens, hidden)?;
        for (number, layer) in self.layers.iter().enumerate() {
            step.norm(&layer.attention_norm, number > 0)?;
            layer.qkv.forward(space.qkv.all(), space.normed.all(), counts.rows, space.scratch.all())?;
            step.attend(layer, cache, number)?;
            layer.output.forward(space.delta.all(), space.attended.all(), counts.rows, space.scratch.all())?;
            step.norm(&layer.mlp_norm, true)?;
            layer.gate_up.forward(space.joined.all(), space.normed.all(), counts.rows, space.scratch.all())?;
            kernels::silu_mul(&*self.device, space.gated.all(), space.joined.all(), counts.rows, self.sizes.inner)?;
            layer.down.forward(space.delta.all(), space.gated.all(), counts.rows, space.scratch.all())?;
        }
        step.choose()
    }
}

impl Step<'_> {
    fn device(&self) -> &dyn Device {
        &*self.model.device
    }

    /// Adds what the last product left, where there was one, and normalizes all rows.
    fn norm(&self, weight: &Buffer<f32>, adds: bool) -> Result<(), DeviceError> {
        kernels::add_rms_norm(self.device(), &self.norm_of(weight, adds.then(|| self.space.delta.all())))
    }

    fn norm_of(&self, weight: &Buffer<f32>, delta: Option<Slice<bf16>>) -> Norm {
        let Sizes { hidden, epsilon, .. } = self.model.sizes;
        let (out, residual) = (self.space.normed.all(), self.space.residual.all());
        Norm { out, residual, delta, weight: weight.all(), picked: None, rows: self.counts.rows, hidden, epsilon }
    }

    fn attend(&self, layer: &Layer, cache: &KvCache, number: usize) -> Result<(), DeviceError> {
        let Sizes { heads, epsilon, pairs, neighbours, .. } = self.model.sizes;
        let (places, space) = (self.places, self.space);
        let projected = Projected { qkv: space.qkv.all(), positions: places.positions, slots: places.slots };
        let weights = HeadWeights {
            bias: layer.bias.as_ref().map(Buffer::all),
            query_norm: layer.query_norm.as_ref().map(Buffer::all),
            key_norm: layer.key_norm.as_ref().map(Buffer::all),
            epsilon,
        };
        let cache = cache.layer(number)?;
        let rotary = Rotary { angles: self.model.angles.all(), pairs, neighbours };
        kernels::finish_qkv(self.device(), projected, cache, weights, rotary, heads)?;
        let (out, qkv, stride) = (space.attended.all(), space.qkv.all(), self.counts.stride);
        let attention = Attention { out, qkv, cache, tables: places.tables, stride, heads };
        if self.counts.decodes > 0 {
            let (values, soft, splits) = (space.partial.all(), space.partial_soft.all(), self.splits);
            let partial = Partial { values, soft, splits };
            kernels::decode(self.device(), &attention, partial, places.decode_rows, places.contexts)?;
        }
        if self.counts.tiles > 0 {
            kernels::prefill(self.device(), &attention, places.tiles)?;
        }
        Ok(())
    }

    /// The logits of the wanted rows, and a token of each.
    fn choose(&self) -> Result<(), DeviceError> {
        let wanted = self.counts.wanted;
        if wanted == 0 {
            return Ok(());
        }
        let (space, model) = (self.space, self.model);
        let all = self.norm_of(&model.norm, Some(space.delta.all()));
        kernels::add_rms_norm(self.device(), &Norm { picked: Some(self.places.picked), rows: wanted, ..all })?;
        let head = model.head.as_ref().unwrap_or(&model.embedding);
        head.forward_wide(space.logits.all(), space.normed.all(), wanted)?;
        let tokens = space.tokens.part(0, wanted)?;
        kernels::sample(self.device(), tokens, space.logits.all(), self.places.draws, model.sizes.vocabulary)
    }
}
