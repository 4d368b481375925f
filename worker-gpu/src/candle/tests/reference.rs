//! A decoder as the papers write it: one sequence, all scores at once, nothing kept between calls.

use super::tiny::{Tiny, VOCABULARY, Written};

type Matrix = Vec<Vec<f64>>;

/// The logits after each of `tokens`.
pub fn logits(tiny: &Tiny, written: &Written, tokens: &[u32]) -> Matrix {
    let reference = Reference { tiny, written };
    let embedding = reference.matrix("token_embd.weight", tiny.hidden);
    let mut xs: Matrix = tokens.iter().map(|&token| embedding[token as usize].clone()).collect();
    for layer in 0..Tiny::LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let attended = reference.attention(&reference.norm(&xs, &name("attn_norm.weight")), &name);
        xs = sum(&xs, &attended);
        let normed = reference.norm(&xs, &name("ffn_norm.weight"));
        let gate = reference.linear(&normed, &name("ffn_gate"));
        let up = reference.linear(&normed, &name("ffn_up"));
        let silu = |(g, u): (&f64, &f64)| g / (1.0 + (-g).exp()) * u;
        let inner: Matrix = gate.iter().zip(&up).map(|(g, u)| g.iter().zip(u).map(silu).collect()).collect();
        xs = sum(&xs, &reference.linear(&inner, &name("ffn_down")));
    }
    let head = if tiny.tied { "token_embd" } else { "output" };
    let logits = reference.linear(&reference.norm(&xs, "output_norm.weight"), head);
    assert_eq!(logits[0].len(), VOCABULARY);
    logits
}

struct Reference<'a> {
    tiny: &'a Tiny,
    written: &'a Written,
}

impl Reference<'_> {
    fn vector(&self, name: &str) -> Vec<f64> {
        self.written.weights[name].iter().map(|weight| f64::from(*weight)).collect()
    }

    fn matrix(&self, name: &str, columns: usize) -> Matrix {
        self.vector(name).chunks(columns).map(<[f64]>::to_vec).collect()
    }

    fn linear(&self, xs: &Matrix, name: &str) -> Matrix {
        let weight = self.matrix(&format!("{name}.weight"), xs[0].len());
        let bias = format!("{name}.bias");
        let bias = if self.written.weights.contains_key(&bias) { self.vector(&bias) } else { vec![0.0; weight.len()] };
        let row = |x: &Vec<f64>| weight.iter().zip(&bias).map(|(w, b)| dot(x, w) + b).collect();
        xs.iter().map(row).collect()
    }

    fn norm(&self, xs: &Matrix, name: &str) -> Matrix {
        xs.iter().map(|x| norm(x, &self.vector(name))).collect()
    }

    fn attention(&self, xs: &Matrix, name: &dyn Fn(&str) -> String) -> Matrix {
        let (heads, kv_heads, dim) = (self.tiny.heads, self.tiny.kv_heads, self.tiny.head_dim());
        let turned = |projection: &str, head_norm: &str, heads: usize| -> Vec<Matrix> {
            let rows = self.linear(xs, &name(projection));
            let head = |position: usize, row: &Vec<f64>, head: usize| {
                let mut values = row[head * dim..][..dim].to_vec();
                if self.tiny.arch == "qwen3" {
                    values = norm(&values, &self.vector(&name(head_norm)));
                }
                self.rope(&values, position)
            };
            rows.iter().enumerate().map(|(p, row)| (0..heads).map(|h| head(p, row, h)).collect()).collect()
        };
        let queries = turned("attn_q", "attn_q_norm.weight", heads);
        let keys = turned("attn_k", "attn_k_norm.weight", kv_heads);
        let values = self.linear(xs, &name("attn_v"));
        let mut out = vec![Vec::new(); xs.len()];
        for position in 0..xs.len() {
            for (head, query) in queries[position].iter().enumerate() {
                let kv = head / (heads / kv_heads);
                let score = |past: usize| (dot(query, &keys[past][kv]) / (dim as f64).sqrt()).exp();
                let scores: Vec<f64> = (0..=position).map(score).collect();
                let total: f64 = scores.iter().sum();
                let value = |at: usize| {
                    scores.iter().enumerate().map(|(past, score)| score * values[past][kv * dim + at]).sum::<f64>()
                        / total
                };
                out[position].extend((0..dim).map(value));
            }
        }
        self.linear(&out, &name("attn_output"))
    }

    /// Llama's weights in GGUF are arranged so that neighbours turn together; Qwen's turn with the other half.
    fn rope(&self, head: &[f64], position: usize) -> Vec<f64> {
        let (dim, half) = (head.len(), head.len() / 2);
        let mut turned = head.to_vec();
        for pair in 0..half {
            let (a, b) = if self.tiny.arch == "llama" { (2 * pair, 2 * pair + 1) } else { (pair, pair + half) };
            let angle = position as f64 / 5_000f64.powf(2.0 * pair as f64 / dim as f64);
            turned[a] = head[a] * angle.cos() - head[b] * angle.sin();
            turned[b] = head[a] * angle.sin() + head[b] * angle.cos();
        }
        turned
    }
}

fn norm(x: &[f64], weight: &[f64]) -> Vec<f64> {
    let root = (dot(x, x) / x.len() as f64 + 1e-5).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x / root * weight).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &Matrix, b: &Matrix) -> Matrix {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}
