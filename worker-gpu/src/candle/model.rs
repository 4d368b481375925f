//! The decoder: one architecture with the variations of Qwen2, Qwen3 and Llama, over packed tokens.

use super::{
    attention::{Attention, HeadNorms, Projected},
    kv::KvCache,
    linear::Linear,
    simd,
    team::Team,
};
use crate::local::Batch;
use std::sync::Arc;

/// A loaded model.
pub(crate) struct Model {
    /// One output per token of the vocabulary, whose weights are the token's embedding; the head itself if they are tied.
    pub embedding: Arc<Linear>,
    pub layers: Vec<Layer>,
    pub attention: Attention,
    pub norm: Vec<f32>,
    pub head: Arc<Linear>,
    /// Added to the mean square by the norms.
    pub epsilon: f32,
}

/// One block of the decoder.
pub(crate) struct Layer {
    pub attention_norm: Vec<f32>,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub head_norms: Option<HeadNorms>,
    pub output: Linear,
    pub mlp_norm: Vec<f32>,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

impl Model {
    /// Computes the batch's tokens on the current thread pool, stores their keys and values, and returns the logits of its
    /// wanted rows in order, `[wanted][vocabulary]`. Every token must be one of the vocabulary.
    pub fn forward(&self, batch: &Batch, cache: &mut KvCache) -> Vec<Vec<f32>> {
        if batch.tokens.is_empty() {
            return Vec::new();
        }
        Team::gather(|team| self.compute(team, batch, cache))
    }

    fn compute(&self, team: &Team, batch: &Batch, cache: &mut KvCache) -> Vec<Vec<f32>> {
        let width = self.norm.len();
        let mut xs = vec![0.0; batch.tokens.len() * width];
        let rows = xs.chunks_exact_mut(width).zip(&batch.tokens);
        rows.for_each(|(row, token)| self.embedding.row(*token as usize, row));
        let mut projected = Projected::default();
        let (mut attended, mut inner) = (Vec::new(), Vec::new());
        for (number, layer) in self.layers.iter().enumerate() {
            self.project(team, layer, &xs, &mut projected);
            let norms = layer.head_norms.as_ref();
            self.attention.run(team, cache, number, batch, norms, &mut projected, &mut attended);
            if number + 1 == self.layers.len() {
                // From here on only the rows after which a token is chosen matter.
                xs = wanted(batch, &xs);
                attended = wanted(batch, &attended);
            }
            let rows = xs.len() / width;
            layer.output.add(team, rows, &|row, to| copy(&attended, row, to), &mut xs);
            inner.resize(rows * layer.gate.outputs(), 0.0);
            let read = |row: usize, to: &mut [f32]| self.normed(&xs, row, &layer.mlp_norm, to);
            Linear::gated(&layer.gate, &layer.up, team, rows, &read, &mut inner);
            layer.down.add(team, rows, &|row, to| copy(&inner, row, to), &mut xs);
        }
        self.logits(team, &xs)
    }

    fn project(&self, team: &Team, layer: &Layer, xs: &[f32], to: &mut Projected) {
        let rows = xs.len() / self.norm.len();
        to.resize(rows, [&layer.query, &layer.key, &layer.value].map(Linear::outputs));
        let read = |row: usize, to: &mut [f32]| self.normed(xs, row, &layer.attention_norm, to);
        let to = [&mut *to.queries, &mut *to.keys, &mut *to.values];
        Linear::forward_all([&layer.query, &layer.key, &layer.value], team, rows, &read, to);
    }

    fn logits(&self, team: &Team, xs: &[f32]) -> Vec<Vec<f32>> {
        let (rows, vocabulary) = (xs.len() / self.norm.len(), self.head.outputs());
        let mut logits = vec![0.0; rows * vocabulary];
        self.head.forward(team, rows, &|row, to| self.normed(xs, row, &self.norm, to), &mut logits);
        let mut rows = vec![Vec::new(); rows];
        let pairs = rows.iter_mut().zip(logits.chunks_exact(vocabulary)).collect();
        team.each(pairs, |(row, logits): (&mut Vec<f32>, &[f32])| row.extend_from_slice(logits));
        rows
    }

    fn normed(&self, xs: &[f32], row: usize, weight: &[f32], to: &mut [f32]) {
        simd::rms_norm(&xs[row * weight.len()..][..weight.len()], weight, self.epsilon, to);
    }
}

/// The rows after which a token is chosen.
fn wanted(batch: &Batch, rows: &[f32]) -> Vec<f32> {
    let width = rows.len() / batch.tokens.len();
    batch.wanted.iter().flat_map(|wanted| &rows[wanted.row as usize * width..][..width]).copied().collect()
}

fn copy(rows: &[f32], row: usize, to: &mut [f32]) {
    to.copy_from_slice(&rows[row * to.len()..][..to.len()]);
}
