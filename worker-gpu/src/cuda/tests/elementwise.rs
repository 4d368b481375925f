//! Embedding, norm, activation, and what lies between the QKV product and attention.

use super::{BF16, Random, buffer, close, on_devices, read, unwritten, wide};
use crate::{
    cuda::{
        device::{Buffer, Device},
        kernels::{self, Cache, HeadWeights, Heads, Norm, Projected, Rotary},
    },
    schedule::BLOCK,
};
use half::bf16;
use std::sync::Arc;

#[test]
fn tokens_become_their_rows() {
    on_devices(|device, random| {
        for hidden in [8, 64, 1032] {
            let (vocabulary, tokens) = (50, [7, 49, 0, 7]);
            let table = random.halves(vocabulary * hidden);
            let residual = unwritten::<f32>(device, tokens.len() * hidden);
            let rows = buffer(device, &tokens);
            kernels::embed(&**device, residual.all(), buffer(device, &table).all(), rows.all(), hidden).unwrap();
            let expected = tokens.iter().flat_map(|&token| &table[token as usize * hidden..][..hidden]);
            assert!(
                residual.read(0, residual.len()).unwrap().iter().eq(&expected.map(|v| v.to_f32()).collect::<Vec<_>>())
            );
        }
    });
}

#[test]
fn a_norm_adds_divides_and_picks() {
    on_devices(|device, random| {
        for (hidden, adds, picks) in [(64, true, false), (64, false, true), (5120, true, true), (576, true, false)] {
            norm(device, random, hidden, adds, picks);
        }
    });
}

fn norm(device: &Arc<dyn Device>, random: &mut Random, hidden: usize, adds: bool, picks: bool) {
    const ROWS: usize = 5;
    const EPSILON: f64 = 1e-3;
    let (residual, delta) = (random.floats(ROWS * hidden), random.halves(ROWS * hidden));
    let weight = random.floats(hidden);
    let picked: Vec<i32> = if picks { vec![4, 1, 2] } else { (0..ROWS as i32).collect() };
    let sum = |at: usize| f64::from(residual[at]) + if adds { delta[at].to_f64() } else { 0.0 };
    let expected: Vec<f64> = picked
        .iter()
        .flat_map(|&row| {
            let row: Vec<f64> = (0..hidden).map(|i| sum(row as usize * hidden + i)).collect();
            let factor = (row.iter().map(|v| v * v).sum::<f64>() / hidden as f64 + EPSILON).sqrt();
            row.iter().zip(&weight).map(|(v, w)| v / factor * f64::from(*w)).collect::<Vec<_>>()
        })
        .collect();
    let stream = buffer(device, &residual);
    let out = unwritten(device, picked.len() * hidden);
    let (delta, weight, rows) = (buffer(device, &delta), buffer(device, &weight), buffer(device, &picked));
    let work = Norm {
        out: out.all(),
        residual: stream.all(),
        delta: adds.then(|| delta.all()),
        weight: weight.all(),
        picked: picks.then(|| rows.all()),
        rows: picked.len(),
        hidden,
        epsilon: EPSILON as f32,
    };
    kernels::add_rms_norm(&**device, &work).unwrap();
    close(&read(&out), &expected, BF16);
    let after: Vec<f64> = stream.read(0, stream.len()).unwrap().into_iter().map(f64::from).collect();
    let kept = |at: usize| if picks { f64::from(residual[at]) } else { sum(at) };
    close(&after, &(0..residual.len()).map(kept).collect::<Vec<_>>(), 1e-6);
}

#[test]
fn the_gate_opens() {
    on_devices(|device, random| {
        for (rows, inner) in [(3, 8), (2, 2056), (1, 4864)] {
            let joined: Vec<bf16> = (0..rows * 2 * inner).map(|_| bf16::from_f32(random.signed() * 12.0)).collect();
            let values = wide(&joined);
            let gated = |at: usize| {
                let (row, i) = (at / inner, at % inner);
                let (gate, up) = (values[row * 2 * inner + i], values[row * 2 * inner + inner + i]);
                up * gate / (1.0 + (-gate).exp())
            };
            let out = unwritten(device, rows * inner);
            kernels::silu_mul(&**device, out.all(), buffer(device, &joined).all(), rows, inner).unwrap();
            close(&read(&out), &(0..rows * inner).map(gated).collect::<Vec<_>>(), BF16);
        }
    });
}

/// What `finish_qkv` varies in.
#[derive(Clone, Copy)]
struct Variant {
    heads: Heads,
    pairs: usize,
    neighbours: bool,
    bias: bool,
    norms: bool,
}

#[test]
fn queries_and_keys_turn_and_reach_the_cache() {
    let heads = |heads, kv_heads, dim| Heads { heads, kv_heads, dim };
    let variants = [
        Variant { heads: heads(10, 2, 16), pairs: 8, neighbours: false, bias: false, norms: true },
        Variant { heads: heads(7, 1, 64), pairs: 32, neighbours: false, bias: true, norms: false },
        Variant { heads: heads(4, 4, 128), pairs: 64, neighbours: true, bias: false, norms: false },
        Variant { heads: heads(3, 1, 32), pairs: 8, neighbours: false, bias: true, norms: true },
    ];
    on_devices(|device, random| variants.iter().for_each(|variant| finish(device, random, *variant)));
}

fn finish(device: &Arc<dyn Device>, random: &mut Random, variant: Variant) {
    const ROWS: usize = 6;
    const BLOCKS: usize = 3;
    const POSITIONS: usize = 40;
    const EPSILON: f64 = 1e-2;
    let Variant { heads, pairs, .. } = variant;
    let (row, dim) = (heads.row(), heads.dim);
    let qkv = random.halves(ROWS * row);
    let (bias, query_norm, key_norm) = (random.floats(row), random.floats(dim), random.floats(dim));
    let turns: Vec<f64> = (0..POSITIONS * pairs).map(|_| random.unit() * 6.0).collect();
    let angles: Vec<f32> = turns.iter().flat_map(|turn| [turn.cos() as f32, turn.sin() as f32]).collect();
    let positions: Vec<i32> = (0..ROWS).map(|_| random.below(POSITIONS) as i32).collect();
    let slots = random.different(ROWS, BLOCKS * BLOCK);

    let expected = |r: usize, number: usize| {
        let mut head: Vec<f64> = (0..dim).map(|i| qkv[r * row + number * dim + i].to_f64()).collect();
        if variant.bias {
            head.iter_mut().enumerate().for_each(|(i, v)| *v += f64::from(bias[number * dim + i]));
        }
        if number >= heads.heads + heads.kv_heads {
            return head;
        }
        if variant.norms {
            let norm = if number < heads.heads { &query_norm } else { &key_norm };
            let factor = (head.iter().map(|v| v * v).sum::<f64>() / dim as f64 + EPSILON).sqrt();
            head.iter_mut().zip(norm).for_each(|(v, w)| *v *= f64::from(*w) / factor);
        }
        for p in 0..pairs {
            let (i, j) = if variant.neighbours { (2 * p, 2 * p + 1) } else { (p, p + pairs) };
            let (sin, cos) = turns[positions[r] as usize * pairs + p].sin_cos();
            (head[i], head[j]) = (head[i] * cos - head[j] * sin, head[i] * sin + head[j] * cos);
        }
        head
    };

    let rows = buffer(device, &qkv);
    let (keys, values) = (unwritten::<bf16>(device, BLOCKS * heads.block()), unwritten(device, BLOCKS * heads.block()));
    let [bias, query_norm, key_norm, angles] =
        [&bias, &query_norm, &key_norm, &angles].map(|floats| buffer(device, floats));
    let (places, at) = (buffer(device, &slots), buffer(device, &positions));
    let weights = HeadWeights {
        bias: variant.bias.then(|| bias.all()),
        query_norm: variant.norms.then(|| query_norm.all()),
        key_norm: variant.norms.then(|| key_norm.all()),
        epsilon: EPSILON as f32,
    };
    let projected = Projected { qkv: rows.all(), positions: at.all(), slots: places.all() };
    let cache = Cache { keys: keys.all(), values: values.all() };
    let rotary = Rotary { angles: angles.all(), pairs, neighbours: variant.neighbours };
    kernels::finish_qkv(&**device, projected, cache, weights, rotary, heads).unwrap();

    let queries = read(&rows);
    for r in 0..ROWS {
        for number in 0..heads.heads {
            close(&queries[r * row + number * dim..][..dim], &expected(r, number), BF16);
        }
        for kv in 0..heads.kv_heads {
            let stored = |cache: &Buffer<bf16>| head_at(cache, heads, slots[r] as usize, kv);
            close(&stored(&keys), &expected(r, heads.heads + kv), BF16);
            close(&stored(&values), &expected(r, heads.heads + heads.kv_heads + kv), BF16);
        }
    }
    let written = |cache: &Buffer<bf16>| read(cache).iter().filter(|value| !value.is_nan()).count();
    let stored = ROWS * heads.kv_heads * dim;
    assert_eq!((written(&keys), written(&values)), (stored, stored), "nothing else may be written");
}

fn head_at(cache: &Buffer<bf16>, heads: Heads, slot: usize, kv: usize) -> Vec<f64> {
    let first = ((slot / BLOCK * heads.kv_heads + kv) * BLOCK + slot % BLOCK) * heads.dim;
    wide(&cache.read(first, heads.dim).unwrap())
}
