//! Attention of some query rows of one KV head over a sequence's blocks, by an online softmax.

use super::{
    isa::{Isa, Job, LANES, Processor},
    simd::exp,
};
use crate::schedule::BLOCK;

/// Vectors that a block's scores of one row take.
const WIDE: usize = BLOCK / LANES;

/// Rows never influence each other and blocks are fixed, so a row's result does not depend on what is computed beside it.
pub(crate) struct Attend<'a, B> {
    /// `[row][head_dim]`, scaled.
    pub queries: &'a [f32],
    /// For each row, how many of the sequence's tokens it sees; never fewer than the row before.
    pub visible: &'a [usize],
    pub head_dim: usize,
    /// Keys, `[head_dim][BLOCK]`, and values, `[BLOCK][head_dim]`, of each block in order.
    pub blocks: B,
    /// `[row][head_dim]`, zeros that the result replaces.
    pub out: &'a mut [f32],
}

impl<'a, B: Iterator<Item = (&'a [f32], &'a [f32])>> Attend<'_, B> {
    pub fn run(self) {
        Processor::best().run(self);
    }
}

impl<'a, B: Iterator<Item = (&'a [f32], &'a [f32])>> Job for Attend<'_, B> {
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let mut rows = vec![Row::default(); self.visible.len()];
        for (number, (keys, values)) in self.blocks.enumerate() {
            let seen = |visible: usize| visible.saturating_sub(number * BLOCK).min(BLOCK);
            let most = self.visible.last().map_or(0, |visible| seen(*visible));
            let mut at = self.visible.partition_point(|visible| seen(*visible) == 0);
            while at < rows.len() {
                let block = Block { keys, values: &values[..most * self.head_dim], head_dim: self.head_dim };
                let (queries, out) = (&self.queries[at * self.head_dim..], &mut self.out[at * self.head_dim..]);
                let (visible, rows) = (&self.visible[at..], &mut rows[at..]);
                at += match rows.len() {
                    8.. if I::ROWS == 8 => block.add::<I, 8>(isa, queries, visible.iter().map(|v| seen(*v)), rows, out),
                    4.. => block.add::<I, 4>(isa, queries, visible.iter().map(|v| seen(*v)), rows, out),
                    2.. => block.add::<I, 2>(isa, queries, visible.iter().map(|v| seen(*v)), rows, out),
                    _ => block.add::<I, 1>(isa, queries, visible.iter().map(|v| seen(*v)), rows, out),
                };
            }
        }
        for (out, row) in self.out.chunks_exact_mut(self.head_dim).zip(rows) {
            out.iter_mut().for_each(|value| *value /= row.sum);
        }
    }
}

/// What is known of a row's softmax after some blocks.
#[derive(Clone)]
struct Row {
    max: f32,
    /// Of the weights so far, relative to `max`.
    sum: f32,
    /// What earlier values are to be multiplied by.
    shrink: f32,
    /// The tokens' weights in the present block, relative to `max`.
    weights: [f32; BLOCK],
}

impl Default for Row {
    fn default() -> Self {
        Self { max: f32::NEG_INFINITY, sum: 0.0, shrink: 0.0, weights: [0.0; BLOCK] }
    }
}

impl Row {
    /// From scores to weights; the first `seen` tokens count.
    #[inline(always)]
    fn weigh(&mut self, seen: usize) {
        self.weights[seen..].fill(f32::NEG_INFINITY);
        let mut lanes = [self.max; LANES];
        for chunk in self.weights.as_chunks::<LANES>().0 {
            lanes.iter_mut().zip(chunk).for_each(|(lane, weight)| *lane = lane.max(*weight));
        }
        let max = lanes.into_iter().fold(self.max, f32::max);
        self.shrink = exp(self.max - max);
        self.weights.iter_mut().for_each(|weight| *weight = exp(*weight - max));
        self.weights[seen..].fill(0.0);
        let mut sums = [0.0f32; LANES];
        for chunk in self.weights.as_chunks::<LANES>().0 {
            sums.iter_mut().zip(chunk).for_each(|(sum, weight)| *sum += weight);
        }
        self.sum = self.sum * self.shrink + sums.iter().sum::<f32>();
        self.max = max;
    }
}

/// Keys and values of one head; as many values as the last row sees.
struct Block<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    head_dim: usize,
}

impl Block<'_> {
    /// Adds the block to the first `ROWS` rows, and says how many these are.
    #[inline(always)]
    fn add<I: Isa, const ROWS: usize>(
        &self,
        isa: I,
        queries: &[f32],
        seen: impl Iterator<Item = usize>,
        rows: &mut [Row],
        out: &mut [f32],
    ) -> usize {
        let rows = &mut rows[..ROWS];
        self.scores::<I, ROWS>(isa, queries, rows);
        rows.iter_mut().zip(seen).for_each(|(row, seen)| row.weigh(seen));
        let whole = self.head_dim / LANES;
        for column in (0..whole / 2).map(|pair| pair * 2 * LANES) {
            self.values::<I, ROWS, 2>(isa, rows, column, out);
        }
        if whole % 2 == 1 {
            self.values::<I, ROWS, 1>(isa, rows, (whole - 1) * LANES, out);
        }
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(self.head_dim)) {
            self.last_values(row, whole * LANES, out);
        }
        ROWS
    }

    #[inline(always)]
    fn scores<I: Isa, const ROWS: usize>(&self, isa: I, queries: &[f32], rows: &mut [Row]) {
        let queries: [&[f32]; ROWS] = std::array::from_fn(|row| &queries[row * self.head_dim..][..self.head_dim]);
        let mut scores = [[isa.splat(0.0); WIDE]; ROWS];
        for (at, keys) in self.keys.as_chunks::<BLOCK>().0.iter().enumerate().take(self.head_dim) {
            let keys = keys.as_chunks::<LANES>().0;
            for wide in 0..WIDE {
                let keys = isa.floats(&keys[wide]);
                for row in 0..ROWS {
                    scores[row][wide] = isa.madd(isa.splat(queries[row][at]), keys, scores[row][wide]);
                }
            }
        }
        for row in 0..ROWS {
            let to = rows[row].weights.as_chunks_mut::<LANES>().0;
            for wide in 0..WIDE {
                to[wide] = isa.array(scores[row][wide]);
            }
        }
    }

    /// `out = out * shrink + Σ weight · value` for `VECTORS` vectors from `column` on.
    #[inline(always)]
    fn values<I: Isa, const ROWS: usize, const VECTORS: usize>(
        &self,
        isa: I,
        rows: &[Row],
        column: usize,
        out: &mut [f32],
    ) {
        let mut sums = [[isa.splat(0.0); VECTORS]; ROWS];
        for row in 0..ROWS {
            let old = out[row * self.head_dim + column..].as_chunks::<LANES>().0;
            for vector in 0..VECTORS {
                sums[row][vector] = isa.mul(isa.floats(&old[vector]), isa.splat(rows[row].shrink));
            }
        }
        for (token, values) in self.values.chunks_exact(self.head_dim).enumerate().take(BLOCK) {
            let values = values[column..].as_chunks::<LANES>().0;
            for vector in 0..VECTORS {
                let values = isa.floats(&values[vector]);
                for row in 0..ROWS {
                    let weight = isa.splat(rows[row].weights[token]);
                    sums[row][vector] = isa.madd(weight, values, sums[row][vector]);
                }
            }
        }
        for row in 0..ROWS {
            let to = out[row * self.head_dim + column..].as_chunks_mut::<LANES>().0;
            for vector in 0..VECTORS {
                to[vector] = isa.array(sums[row][vector]);
            }
        }
    }

    /// The same for elements that fill no vector.
    #[inline(always)]
    fn last_values(&self, row: &Row, from: usize, out: &mut [f32]) {
        for (at, out) in out.iter_mut().enumerate().skip(from) {
            let column = self.values.iter().skip(at).step_by(self.head_dim);
            let add = |sum: f32, (weight, value): (&f32, &f32)| weight.mul_add(*value, sum);
            *out = row.weights.iter().zip(column).fold(*out * row.shrink, add);
        }
    }
}
