//! Attention over the paged cache: grouping, paging, splits, ragged chunks, and what may not be seen.

use super::{BF16, Random, buffer, close, on_devices, read, unwritten};
use crate::{
    cuda::{
        device::{Buffer, Device},
        kernels::{self, Attention, Cache, Heads, PREFILL_TILE, Partial},
    },
    schedule::BLOCK,
};
use half::bf16;
use std::sync::Arc;

/// A sequence of which `len` tokens from `position` on are computed.
#[derive(Clone, Copy)]
struct Chunk {
    position: usize,
    len: usize,
}

/// A cache with the keys and values of some sequences, scattered over blocks; what no token wrote is not a number.
struct Scene {
    heads: Heads,
    chunks: Vec<Chunk>,
    qkv: Vec<bf16>,
    keys: Vec<bf16>,
    values: Vec<bf16>,
    tables: Vec<i32>,
    stride: usize,
}

impl Scene {
    fn new(random: &mut Random, heads: Heads, chunks: &[Chunk]) -> Self {
        let used = |chunk: &Chunk| (chunk.position + chunk.len).div_ceil(BLOCK);
        let stride = chunks.iter().map(used).max().unwrap() + 1;
        let blocks = chunks.iter().map(used).sum::<usize>() + 3;
        let mut free = random.different(blocks, blocks).into_iter();
        let tables: Vec<i32> = chunks
            .iter()
            .flat_map(|chunk| {
                let mut row: Vec<i32> = free.by_ref().take(used(chunk)).collect();
                // What lies beyond must not be touched, so it is a block that does not exist.
                row.resize(stride, 1 << 24);
                row
            })
            .collect();
        let rows: usize = chunks.iter().map(|chunk| chunk.len).sum();
        let nothing = vec![bf16::NAN; blocks * heads.block()];
        let mut scene = Self {
            heads,
            chunks: chunks.to_vec(),
            qkv: random.halves(rows * heads.row()).iter().map(|v| bf16::from_f32(v.to_f32() * 3.0)).collect(),
            keys: nothing.clone(),
            values: nothing,
            tables,
            stride,
        };
        for (sequence, chunk) in chunks.iter().enumerate() {
            for token in 0..chunk.position + chunk.len {
                for kv in 0..heads.kv_heads {
                    let at = scene.at(sequence, token, kv);
                    scene.keys[at..][..heads.dim].copy_from_slice(&random.halves(heads.dim));
                    scene.values[at..][..heads.dim].copy_from_slice(&random.halves(heads.dim));
                }
            }
        }
        scene
    }

    /// Where a token's key and value lie.
    fn at(&self, sequence: usize, token: usize, kv: usize) -> usize {
        let block = self.tables[sequence * self.stride + token / BLOCK] as usize;
        ((block * self.heads.kv_heads + kv) * BLOCK + token % BLOCK) * self.heads.dim
    }

    fn first_row(&self, sequence: usize) -> usize {
        self.chunks[..sequence].iter().map(|chunk| chunk.len).sum()
    }

    /// What a row's head should become.
    fn expected(&self, sequence: usize, row: usize, head: usize) -> Vec<f64> {
        let Heads { heads, kv_heads, dim } = self.heads;
        let query = &self.qkv[(self.first_row(sequence) + row) * self.heads.row() + head * dim..][..dim];
        let scores: Vec<f64> = (0..=self.chunks[sequence].position + row)
            .map(|token| {
                let key = &self.keys[self.at(sequence, token, head / (heads / kv_heads))..][..dim];
                query.iter().zip(key).map(|(a, b)| a.to_f64() * b.to_f64()).sum::<f64>() / (dim as f64).sqrt()
            })
            .collect();
        let greatest = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
        let mut sum = vec![0.0; dim];
        for (token, weight) in weights.iter().enumerate() {
            let value = &self.values[self.at(sequence, token, head / (heads / kv_heads))..][..dim];
            sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += weight * value.to_f64());
        }
        let total: f64 = weights.iter().sum();
        sum.into_iter().map(|value| value / total).collect()
    }

    /// Runs `work` on the scene and compares each head of each row.
    fn check(&self, device: &Arc<dyn Device>, work: impl FnOnce(&Attention)) {
        let rows: usize = self.chunks.iter().map(|chunk| chunk.len).sum();
        let (qkv, tables) = (buffer(device, &self.qkv), buffer(device, &self.tables));
        let (keys, values) = (buffer(device, &self.keys), buffer(device, &self.values));
        let out: Buffer<bf16> = unwritten(device, rows * self.heads.query_row());
        work(&Attention {
            out: out.all(),
            qkv: qkv.all(),
            cache: Cache { keys: keys.all(), values: values.all() },
            tables: tables.all(),
            stride: self.stride,
            heads: self.heads,
        });
        let found = read(&out);
        for (sequence, chunk) in self.chunks.iter().enumerate() {
            for row in 0..chunk.len {
                for head in 0..self.heads.heads {
                    let at = (self.first_row(sequence) + row) * self.heads.query_row() + head * self.heads.dim;
                    close(&found[at..][..self.heads.dim], &self.expected(sequence, row, head), 2.0 * BF16);
                }
            }
        }
    }
}

fn decode(device: &Arc<dyn Device>, scene: &Scene, splits: usize) {
    let contexts: Vec<i32> = scene.chunks.iter().map(|chunk| chunk.position as i32 + 1).collect();
    let rows: Vec<i32> = (0..contexts.len() as i32).collect();
    let (values, soft) = Partial::sizes(scene.heads, rows.len() * splits);
    let (values, soft) = (unwritten(device, values), unwritten(device, soft));
    let partial = Partial { values: values.all(), soft: soft.all(), splits };
    let (rows, contexts) = (buffer(device, &rows), buffer(device, &contexts));
    scene.check(device, |attention| {
        kernels::decode(&**device, attention, partial, rows.all(), contexts.all()).unwrap();
    });
}

fn tiles(scene: &Scene) -> Vec<i32> {
    let mut tiles = Vec::new();
    for (sequence, chunk) in scene.chunks.iter().enumerate() {
        for first in (0..chunk.len).step_by(PREFILL_TILE) {
            let count = PREFILL_TILE.min(chunk.len - first);
            let row = scene.first_row(sequence) + first;
            tiles.extend([row, count, chunk.position + first, sequence].map(|n| n as i32));
        }
    }
    tiles
}

#[test]
fn a_token_sees_its_whole_context() {
    on_devices(|device, random| {
        for group in 1..=8 {
            let heads = Heads { heads: 2 * group, kv_heads: 2, dim: [16, 32, 64, 128][group % 4] };
            let contexts = [0, 1, 31, 32, 33, random.below(200)];
            let scene = Scene::new(random, heads, &contexts.map(|position| Chunk { position, len: 1 }));
            decode(device, &scene, 1);
        }
    });
}

#[test]
fn a_context_can_be_split_into_more_parts_than_it_has_blocks() {
    on_devices(|device, random| {
        for (dim, splits) in [(128, 2), (64, 3), (16, 8), (32, 16)] {
            let heads = Heads { heads: 10, kv_heads: 2, dim };
            let contexts = [0, 40, 127, 128, 300 + random.below(100)];
            let scene = Scene::new(random, heads, &contexts.map(|position| Chunk { position, len: 1 }));
            decode(device, &scene, splits);
        }
    });
}

#[test]
fn chunks_of_prompts_see_what_came_before_and_themselves() {
    on_devices(|device, random| {
        for (dim, heads, kv_heads) in [(16, 10, 2), (32, 3, 1), (64, 4, 4), (128, 5, 1)] {
            let chunk = |position, len| Chunk { position, len };
            let chunks = [
                chunk(0, 2),
                chunk(0, 64),
                chunk(31, 33),
                chunk(random.below(100), 1 + random.below(140)),
                chunk(64, 65),
                chunk(200, 17),
            ];
            let scene = Scene::new(random, Heads { heads, kv_heads, dim }, &chunks);
            let tiles = buffer(device, &tiles(&scene));
            scene.check(device, |attention| kernels::prefill(&**device, attention, tiles.all()).unwrap());
        }
    });
}
