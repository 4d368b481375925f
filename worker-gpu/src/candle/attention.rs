//! Attention of a packed batch on the CPU: normalise and turn queries and keys, store keys and values, attend.

use super::{kv::KvCache, rope::Rope, simd::Attend, team::Team};
use crate::{
    local::{Batch, Span},
    schedule::BLOCK,
};

/// Tokens of one sequence that are attended together, so that a block stays in the processor's cache for all of them.
const TILE: usize = 8;

/// The shape and the constants of a model's attention.
pub(crate) struct Attention {
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Added to the mean square by the heads' norms.
    pub norm_epsilon: f32,
    /// Turns queries and keys.
    pub rope: Rope,
}

/// A layer's weights for the norms of query and key heads (Qwen3), `head_dim` each.
pub(crate) struct HeadNorms {
    pub query: Vec<f32>,
    pub key: Vec<f32>,
}

/// Projections of every row of a batch: `heads * head_dim` and twice `kv_heads * head_dim` floats per row.
pub(crate) struct Projected {
    pub queries: Vec<f32>,
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

/// Query rows of one KV head and one sequence, and where their result goes.
struct Task<'a> {
    span: &'a Span<'a>,
    head: usize,
    /// First row in the batch.
    row: usize,
    /// First row's position in the sequence.
    position: usize,
    /// `rows * group * head_dim` floats.
    out: &'a mut [f32],
}

impl Attention {
    /// Attends every row of `batch` in `layer`; the result has `heads * head_dim` floats per row.
    pub fn run(
        &self,
        team: &Team,
        cache: &mut KvCache,
        layer: usize,
        batch: &Batch,
        norms: Option<&HeadNorms>,
        mut projected: Projected,
    ) -> Vec<f32> {
        self.prepare(team, batch, norms, &mut projected);
        self.store(cache, layer, batch, &projected);
        let mut by_task = vec![0.0; projected.queries.len()];
        let tasks = self.tasks(batch, &mut by_task);
        let cache = &*cache;
        team.each(tasks, |task| self.attend(cache, layer, &projected.queries, task));
        self.by_row(batch, &by_task)
    }

    fn prepare(&self, team: &Team, batch: &Batch, norms: Option<&HeadNorms>, projected: &mut Projected) {
        let positions: Vec<usize> = batch.rows().map(|(_, position)| position).collect();
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let turn = |rows: &mut [f32], heads: usize, norm: Option<&[f32]>, scale: f32| {
            let rows = rows.chunks_mut(heads * self.head_dim).zip(&positions);
            team.each(rows.collect(), |(row, &position): (&mut [f32], &usize)| {
                for head in row.chunks_exact_mut(self.head_dim) {
                    if let Some(weight) = norm {
                        normalise(head, weight, self.norm_epsilon);
                    }
                    self.rope.turn(head, position);
                    head.iter_mut().for_each(|value| *value *= scale);
                }
            });
        };
        turn(&mut projected.queries, self.heads, norms.map(|norms| norms.query.as_slice()), scale);
        turn(&mut projected.keys, self.kv_heads, norms.map(|norms| norms.key.as_slice()), 1.0);
    }

    fn store(&self, cache: &mut KvCache, layer: usize, batch: &Batch, projected: &Projected) {
        let width = self.kv_heads * self.head_dim;
        let rows = projected.keys.chunks_exact(width).zip(projected.values.chunks_exact(width));
        for ((blocks, position), (keys, values)) in batch.rows().zip(rows) {
            let heads = keys.chunks_exact(self.head_dim).zip(values.chunks_exact(self.head_dim));
            for (head, (key, value)) in heads.enumerate() {
                cache.write(layer, blocks, position, head, key, value);
            }
        }
    }

    /// Every sequence's tiles, for each KV head.
    fn tasks<'a>(&self, batch: &'a Batch, mut out: &'a mut [f32]) -> Vec<Task<'a>> {
        let group = self.heads / self.kv_heads;
        let mut tasks = Vec::new();
        for (row, position, len, span) in tiles(batch) {
            for head in 0..self.kv_heads {
                let (own, rest) = out.split_at_mut(len * group * self.head_dim);
                tasks.push(Task { span, head, row, position, out: own });
                out = rest;
            }
        }
        tasks
    }

    fn attend(&self, cache: &KvCache, layer: usize, queries: &[f32], task: Task) {
        let group = self.heads / self.kv_heads;
        let (width, grouped) = (self.heads * self.head_dim, group * self.head_dim);
        let rows = task.out.len() / grouped;
        let mut own = Vec::with_capacity(task.out.len());
        for row in queries[task.row * width..].chunks_exact(width).take(rows) {
            own.extend_from_slice(&row[task.head * grouped..][..grouped]);
        }
        let visible: Vec<usize> = (0..rows * group).map(|at| task.position + at / group + 1).collect();
        let blocks = (task.position + rows).div_ceil(BLOCK);
        Attend {
            queries: &own,
            visible: &visible,
            head_dim: self.head_dim,
            blocks: (0..blocks).map(|block| cache.block(layer, task.span.blocks, block, task.head)),
            out: task.out,
        }
        .run();
    }

    /// From the order of the tasks to that of the batch's rows.
    fn by_row(&self, batch: &Batch, by_task: &[f32]) -> Vec<f32> {
        let grouped = self.heads / self.kv_heads * self.head_dim;
        let mut rows = Vec::with_capacity(by_task.len());
        let mut rest = by_task;
        for (_, _, len, _) in tiles(batch) {
            let (tile, after) = rest.split_at(len * grouped * self.kv_heads);
            for row in 0..len {
                for head in tile.chunks_exact(len * grouped) {
                    rows.extend_from_slice(&head[row * grouped..][..grouped]);
                }
            }
            rest = after;
        }
        rows
    }
}

/// First row, its position, length and span of each tile.
fn tiles<'a>(batch: &'a Batch) -> impl Iterator<Item = (usize, usize, usize, &'a Span<'a>)> {
    let mut first = 0;
    batch.spans.iter().flat_map(move |span| {
        let row = first;
        first += span.len;
        let tile = move |at: usize| (row + at, span.position + at, TILE.min(span.len - at), span);
        (0..span.len).step_by(TILE).map(tile)
    })
}

fn normalise(head: &mut [f32], weight: &[f32], epsilon: f32) {
    let mean_square = head.iter().map(|value| value * value).sum::<f32>() / head.len() as f32;
    let scale = 1.0 / (mean_square + epsilon).sqrt();
    head.iter_mut().zip(weight).for_each(|(value, weight)| *value = *value * scale * weight);
}
