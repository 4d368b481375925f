//! Whole steps against a plain decoder in f64: chunks beside single tokens, recorded steps, 4-bit weights.

use super::{Random, buffer, close, on_devices, wide};
use crate::{
    cuda::{
        cache::KvCache,
        device::{Buffer, Device},
        int4::Grouped,
        kernels::Heads,
        linear::{Linear, Matrix},
        model::{Layer, Model, Sizes},
        runner::CudaRunner,
        space::Limits,
    },
    local::{Batch, Chosen, Draw, Runner},
    schedule::{BLOCK, BlockId},
};
use half::bf16;
use std::sync::Arc;

const HEADS: Heads = Heads { heads: 10, kv_heads: 2, dim: 16 };
const SIZES: Sizes = Sizes {
    layers: 2,
    hidden: 64,
    inner: 128,
    heads: HEADS,
    vocabulary: 200,
    epsilon: 1e-6,
    pairs: 8,
    neighbours: false,
};
const CONTEXT: usize = 160;

/// A matrix, and its values in f64.
struct Weights(Matrix, Vec<f64>);

impl Weights {
    fn dense(random: &mut Random, outputs: usize, inputs: usize) -> Self {
        let scale = 1.2 / (inputs as f32).sqrt();
        let weights: Vec<bf16> = (0..outputs * inputs).map(|_| bf16::from_f32(random.signed() * scale)).collect();
        let values = wide(&weights);
        Self(Matrix::Dense { outputs, inputs, weights }, values)
    }

    fn narrow(random: &mut Random, outputs: usize, inputs: usize) -> Self {
        let scale = 1.0 / 128.0;
        let quants: Vec<u8> = (0..outputs * inputs).map(|_| random.below(16) as u8).collect();
        let values = quants.iter().map(|&q| (f64::from(q) - 7.5) * f64::from(scale)).collect();
        let scales = vec![(scale, 0.5 * scale); outputs * inputs / 64];
        Self(Matrix::Int4(Grouped { outputs, inputs, group: 64, quants, scales }), values)
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        self.1.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    }
}

/// A decoder in f64 that computes one whole sequence at a time.
struct Plain {
    embedding: Weights,
    layers: Vec<PlainLayer>,
    norm: Vec<f32>,
}

struct PlainLayer {
    norms: [Vec<f32>; 2],
    head_norms: [Vec<f32>; 2],
    /// Query, key, value.
    qkv: [Weights; 3],
    bias: Vec<f32>,
    output: Weights,
    gate_up: [Weights; 2],
    down: Weights,
}

fn frequency(pair: usize) -> f64 {
    100f64.powf(-(pair as f64) / SIZES.pairs as f64)
}

fn normalized(x: &[f64], weight: &[f32]) -> Vec<f64> {
    let rms = (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + f64::from(SIZES.epsilon)).sqrt();
    x.iter().zip(weight).map(|(v, w)| v / rms * f64::from(*w)).collect()
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

impl PlainLayer {
    fn new(random: &mut Random, narrow: bool) -> Self {
        let Sizes { hidden, inner, .. } = SIZES;
        let (q, kv) = (HEADS.query_row(), HEADS.kv_heads * HEADS.dim);
        let weight = if narrow { Weights::narrow } else { Weights::dense };
        // Like a file whose values are stored in more bits than its queries.
        let value = Weights::dense(random, kv, hidden);
        let ones = |random: &mut Random, len| random.floats(len).iter().map(|v| 1.0 + 0.3 * v).collect();
        Self {
            norms: [ones(random, hidden), ones(random, hidden)],
            head_norms: [ones(random, HEADS.dim), ones(random, HEADS.dim)],
            qkv: [weight(random, q, hidden), weight(random, kv, hidden), value],
            bias: random.floats(HEADS.row()).iter().map(|v| v * 0.2).collect(),
            // 160 inputs are no multiple of 64.
            output: Weights::dense(random, hidden, q),
            gate_up: [weight(random, inner, hidden), weight(random, inner, hidden)],
            down: weight(random, hidden, inner),
        }
    }

    /// Queries, keys and values of the token at `position`.
    fn project(&self, x: &[f64], position: usize) -> Vec<Vec<f64>> {
        let x = normalized(x, &self.norms[0]);
        let mut all: Vec<f64> = self.qkv.iter().flat_map(|weights| weights.times(&x)).collect();
        add(&mut all, &self.bias.iter().copied().map(f64::from).collect::<Vec<_>>());
        let turned = |(number, head): (usize, &[f64])| {
            if number >= HEADS.heads + HEADS.kv_heads {
                return head.to_vec();
            }
            let mut head = normalized(head, &self.head_norms[usize::from(number >= HEADS.heads)]);
            for p in 0..SIZES.pairs {
                let (sin, cos) = (position as f64 * frequency(p)).sin_cos();
                let (a, b) = (head[p], head[p + SIZES.pairs]);
                (head[p], head[p + SIZES.pairs]) = (a * cos - b * sin, a * sin + b * cos);
            }
            head
        };
        all.chunks_exact(HEADS.dim).enumerate().map(turned).collect()
    }

    /// What attention gives to the last of `tokens`.
    fn attend(tokens: &[Vec<Vec<f64>>]) -> Vec<f64> {
        let last = tokens.last().unwrap();
        (0..HEADS.heads)
            .flat_map(|head| {
                let kv = HEADS.heads + head / (HEADS.heads / HEADS.kv_heads);
                let score = |token: &Vec<Vec<f64>>| {
                    let dot: f64 = last[head].iter().zip(&token[kv]).map(|(a, b)| a * b).sum();
                    (dot / (HEADS.dim as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = tokens.iter().map(score).collect();
                let total: f64 = weights.iter().sum();
                let value = |i| {
                    let weighted = tokens.iter().zip(&weights).map(|(token, w)| w * token[kv + HEADS.kv_heads][i]);
                    weighted.sum::<f64>() / total
                };
                (0..HEADS.dim).map(value).collect::<Vec<_>>()
            })
            .collect()
    }

    fn forward(&self, xs: &mut [Vec<f64>]) {
        let projected: Vec<_> = xs.iter().enumerate().map(|(position, x)| self.project(x, position)).collect();
        for (position, x) in xs.iter_mut().enumerate() {
            add(x, &self.output.times(&Self::attend(&projected[..=position])));
            let inner = normalized(x, &self.norms[1]);
            let [gate, up] = [0, 1].map(|i| self.gate_up[i].times(&inner));
            let gated: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| u * g / (1.0 + (-g).exp())).collect();
            add(x, &self.down.times(&gated));
        }
    }
}

impl Plain {
    fn new(random: &mut Random, narrow: bool) -> Self {
        let embedding = Weights::dense(random, SIZES.vocabulary, SIZES.hidden);
        let layers = (0..SIZES.layers).map(|_| PlainLayer::new(random, narrow)).collect();
        Self { embedding, layers, norm: vec![1.5; SIZES.hidden] }
    }

    /// The logits after the last of `tokens`.
    fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let row = |&token: &u32| self.embedding.1[token as usize * SIZES.hidden..][..SIZES.hidden].to_vec();
        let mut xs: Vec<Vec<f64>> = tokens.iter().map(row).collect();
        self.layers.iter().for_each(|layer| layer.forward(&mut xs));
        self.embedding.times(&normalized(xs.last().unwrap(), &self.norm))
    }

    fn on(&self, device: &Arc<dyn Device>) -> Model {
        let linear = |weights: &[&Weights]| {
            Linear::new(device, weights.iter().map(|weights| weights.0.clone()).collect()).unwrap()
        };
        let floats = |values: &Vec<f32>| buffer(device, values);
        let layer = |layer: &PlainLayer| Layer {
            attention_norm: floats(&layer.norms[0]),
            qkv: linear(&layer.qkv.iter().collect::<Vec<_>>()),
            bias: Some(floats(&layer.bias)),
            query_norm: Some(floats(&layer.head_norms[0])),
            key_norm: Some(floats(&layer.head_norms[1])),
            output: linear(&[&layer.output]),
            mlp_norm: floats(&layer.norms[1]),
            gate_up: linear(&layer.gate_up.iter().collect::<Vec<_>>()),
            down: linear(&[&layer.down]),
        };
        let angle = |at: usize| (at / SIZES.pairs) as f64 * frequency(at % SIZES.pairs);
        let angles = (0..CONTEXT * SIZES.pairs).flat_map(|at| [angle(at).cos() as f32, angle(at).sin() as f32]);
        Model {
            device: device.clone(),
            sizes: SIZES,
            embedding: linear(&[&self.embedding]),
            layers: self.layers.iter().map(layer).collect(),
            norm: floats(&self.norm),
            head: None,
            angles: Buffer::from_slice(device, &angles.collect::<Vec<_>>()).unwrap(),
        }
    }
}

/// A sequence of which the first `done` tokens have been computed.
struct Sequence {
    tokens: Vec<u32>,
    blocks: Vec<BlockId>,
    done: usize,
}

const LIMITS: Limits = Limits { rows: 80, sequences: 4, blocks: CONTEXT / BLOCK };

/// A runner with room for a few sequences, and sequences that own scattered blocks.
fn scene(device: &Arc<dyn Device>, random: &mut Random, plain: &Plain) -> (CudaRunner, Vec<Sequence>) {
    const BLOCKS: usize = 16;
    let bytes = (4 << 20) + (BLOCKS + 1) * KvCache::block_bytes(SIZES.layers, HEADS);
    let runner = CudaRunner::new(plain.on(device), LIMITS, bytes).unwrap();
    assert!(runner.blocks() >= BLOCKS);
    let mut blocks = random.different(BLOCKS, BLOCKS).into_iter().map(|block| block as BlockId);
    let sequence = |len: usize| Sequence {
        tokens: (0..len).map(|_| random.below(SIZES.vocabulary) as u32).collect(),
        blocks: blocks.by_ref().take(5).collect(),
        done: 0,
    };
    (runner, [75, 40, 9].map(sequence).into())
}

/// Computes `lens[i]` further tokens of sequence `i` in one step, and checks the logits after the last of each.
fn step(runner: &mut CudaRunner, plain: &Plain, sequences: &mut [Sequence], lens: &[usize]) {
    let mut batch = Batch::default();
    for (sequence, &len) in sequences.iter().zip(lens).filter(|(_, len)| **len > 0) {
        batch.push(&sequence.blocks, sequence.done, &sequence.tokens[sequence.done..][..len]);
        batch.want(None);
    }
    let mut found = runner.forward(&batch).unwrap().into_iter();
    for (sequence, &len) in sequences.iter_mut().zip(lens).filter(|(_, len)| **len > 0) {
        sequence.done += len;
        let Some(Chosen::Logits(logits)) = found.next() else { panic!("logits expected") };
        let found: Vec<f64> = logits.into_iter().map(f64::from).collect();
        close(&found, &plain.logits(&sequence.tokens[..sequence.done]), 0.03);
    }
    assert_eq!(found.next(), None);
}

#[test]
fn steps_of_any_mixture_give_the_logits_of_whole_sequences() {
    on_devices(|device, random| {
        for narrow in [false, true] {
            let plain = Plain::new(random, narrow);
            let (mut runner, mut sequences) = scene(device, random, &plain);
            // Chunks of three prompts, single tokens beside chunks, single tokens alone: recorded, replayed, of fewer.
            for lens in [[65, 0, 7], [1, 33, 1], [2, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 0], [0, 1, 0]] {
                step(&mut runner, &plain, &mut sequences, &lens);
            }
        }
    });
}

#[test]
fn tokens_are_chosen_where_logits_are_not_asked_for() {
    on_devices(|device, random| {
        let plain = Plain::new(random, false);
        let (mut runner, sequences) = scene(device, random, &plain);
        let draws = [(0.0, 0.0), (0.7, random.unit()), (1.5, random.unit())];
        let draws = draws.map(|(temperature, point)| Draw { temperature, top_k: 0, top_p: 0.9, min_p: 0.0, point });
        let mut batch = |draw: Option<&Draw>, len: usize, done: usize| {
            let mut batch = Batch::default();
            for sequence in &sequences {
                batch.push(&sequence.blocks, done, &sequence.tokens[done..][..len]);
                batch.want(draw.copied());
            }
            runner.forward(&batch).unwrap()
        };
        batch(None, 8, 0);
        let logits = batch(None, 1, 8);
        for draw in draws {
            let chosen = batch(Some(&draw), 1, 8);
            for (chosen, logits) in chosen.into_iter().zip(&logits) {
                let Chosen::Logits(logits) = logits else { panic!("logits expected") };
                assert_eq!(chosen, Chosen::Token(super::sample::expected(logits, draw) as u32));
            }
        }
    });
}

#[test]
fn a_batch_beyond_the_limits_is_refused() {
    on_devices(|device, random| {
        let plain = Plain::new(random, false);
        let (mut runner, sequences) = scene(device, random, &plain);
        let blocks = &sequences[0].blocks;
        let mut refused = |blocks: &[BlockId], position: usize, tokens: &[u32], wanted: &str| {
            let mut batch = Batch::default();
            batch.push(blocks, position, tokens);
            let error = runner.forward(&batch).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        };
        refused(blocks, 0, &[SIZES.vocabulary as u32], "token 200 is not in the vocabulary of 200");
        refused(blocks, 0, &[1; 81], "81 rows of 1 sequences; at most 80 of 4");
        refused(&blocks[..1], 31, &[1, 2], "a sequence lacks blocks");
        refused(&[1 << 20], 0, &[1], "a sequence lacks blocks");
        refused(blocks, CONTEXT, &[1], "a sequence lacks blocks");
    });
}
