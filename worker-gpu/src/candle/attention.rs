//! Attention of a packed batch on the CPU: normalise and turn queries and keys, store keys and values, attend.

use super::{attend::Attend, columns::Columns, kv::KvCache, rope::Rope, simd, team::Team};
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

/// Projections of every row of a batch in one layer: `heads * head_dim` and twice `kv_heads * head_dim` floats per row.
#[derive(Default)]
pub(crate) struct Projected {
    pub queries: Vec<f32>,
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

impl Projected {
    /// Makes room for `rows` rows of so many query, key and value elements.
    pub fn resize(&mut self, rows: usize, widths: [usize; 3]) {
        let all = [&mut self.queries, &mut self.keys, &mut self.values];
        all.into_iter().zip(widths).for_each(|(floats, width)| floats.resize(rows * width, 0.0));
    }
}

/// Query rows of one KV head and one sequence, and where their result goes.
struct Task<'a> {
    span: &'a Span<'a>,
    head: usize,
    /// First row in the batch.
    row: usize,
    /// First row's position in the sequence.
    position: usize,
    /// `group * head_dim` columns of each row.
    out: Columns<'a>,
}

impl Attention {
    /// Attends every row of `batch` in `layer`; `to` gets `heads * head_dim` floats per row.
    #[expect(clippy::too_many_arguments, reason = "they have nothing in common")]
    pub fn run(
        &self,
        team: &Team,
        cache: &mut KvCache,
        layer: usize,
        batch: &Batch,
        norms: Option<&HeadNorms>,
        projected: &mut Projected,
        to: &mut Vec<f32>,
    ) {
        self.prepare(team, batch, norms, projected);
        self.store(cache, layer, batch, projected);
        to.resize(projected.queries.len(), 0.0);
        let (tasks, cache) = (self.tasks(batch, to), &*cache);
        team.each(tasks, |task| self.attend(cache, layer, &projected.queries, task));
    }

    fn prepare(&self, team: &Team, batch: &Batch, norms: Option<&HeadNorms>, projected: &mut Projected) {
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let (query_norm, key_norm) = (norms.map(|norms| &*norms.query), norms.map(|norms| &*norms.key));
        let queries = projected.queries.chunks_mut(self.heads * self.head_dim * TILE);
        let keys = projected.keys.chunks_mut(self.kv_heads * self.head_dim * TILE);
        let positions: Vec<usize> = batch.rows().map(|(_, position)| position).collect();
        let rows = positions.chunks(TILE).zip(queries.zip(keys)).collect();
        team.each(rows, |(positions, (queries, keys)): (&[usize], (&mut [f32], &mut [f32]))| {
            self.turn(queries, positions, self.heads, query_norm, scale);
            self.turn(keys, positions, self.kv_heads, key_norm, 1.0);
        });
    }

    fn turn(&self, rows: &mut [f32], positions: &[usize], heads: usize, norm: Option<&[f32]>, scale: f32) {
        for (row, &position) in rows.chunks_exact_mut(heads * self.head_dim).zip(positions) {
            for head in row.chunks_exact_mut(self.head_dim) {
                norm.iter().for_each(|weight| simd::rms_norm_in_place(head, weight, self.norm_epsilon));
                self.rope.turn(head, position);
                head.iter_mut().for_each(|value| *value *= scale);
            }
        }
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
        let (width, grouped) = (self.heads * self.head_dim, self.heads / self.kv_heads * self.head_dim);
        let mut tasks = Vec::new();
        for (row, position, len, span) in tiles(batch) {
            let (tile, rest) = out.split_at_mut(len * width);
            let heads = Columns::split(tile, width, grouped).enumerate();
            tasks.extend(heads.map(|(head, out)| Task { span, head, row, position, out }));
            out = rest;
        }
        tasks
    }

    fn attend(&self, cache: &KvCache, layer: usize, queries: &[f32], mut task: Task) {
        let group = self.heads / self.kv_heads;
        let (width, grouped) = (self.heads * self.head_dim, group * self.head_dim);
        let rows = task.out.rows();
        let mut own = Vec::with_capacity(rows * grouped);
        for row in queries[task.row * width..].chunks_exact(width).take(rows) {
            own.extend_from_slice(&row[task.head * grouped..][..grouped]);
        }
        let visible: Vec<usize> = (0..rows * group).map(|at| task.position + at / group + 1).collect();
        let blocks = (task.position + rows).div_ceil(BLOCK);
        let blocks = (0..blocks).map(|block| cache.block(layer, task.span.blocks, block, task.head));
        let mut out = vec![0.0; rows * grouped];
        Attend { queries: &own, visible: &visible, head_dim: self.head_dim, blocks, out: &mut out }.run();
        for (row, out) in out.chunks_exact(grouped).enumerate() {
            task.out.row(row).copy_from_slice(out);
        }
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
