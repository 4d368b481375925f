//! The kernels as functions that check their operands' sizes; what each computes is said in `kernels/*.cu`.

use super::device::{Arg, Device, DeviceError, Slice};
use half::bf16;

/// Query heads that one KV head may serve.
pub(crate) const MAX_GROUP: usize = 8;
/// Head sizes that attention is compiled for.
pub(crate) const HEAD_DIMS: [usize; 4] = [16, 32, 64, 128];
/// Prompt tokens of one sequence that a block of `prefill` computes.
pub(crate) const PREFILL_TILE: usize = 64;
/// 32-bit words of a tile of `prefill`.
pub(crate) const TILE_WORDS: usize = 4;
/// 32-bit words of a draw: point (2), temperature, top-p, min-p, top-k.
pub(crate) const DRAW_WORDS: usize = 6;

/// Sizes of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
}

impl Heads {
    /// Elements of a row that holds queries, keys and values.
    pub fn row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.dim
    }

    /// Elements of a row of queries or of attention's results.
    pub fn query_row(&self) -> usize {
        self.heads * self.dim
    }

    /// Elements of a KV block's keys, or of its values.
    pub fn block(&self) -> usize {
        self.kv_heads * crate::schedule::BLOCK * self.dim
    }

    fn scale(&self) -> f32 {
        (self.dim as f32).sqrt().recip()
    }
}

/// The keys and values of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Cache {
    pub keys: Slice<bf16>,
    pub values: Slice<bf16>,
}

fn int(value: usize) -> Arg {
    // Every size is bounded by memory and by what a batch may hold, far below 2^31.
    Arg::Int(i32::try_from(value).unwrap_or(i32::MAX))
}

fn grid(x: usize, y: usize, z: usize) -> [u32; 3] {
    [x, y, z].map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// Threads for a row of `elements`, of which each takes `each` at a time.
fn threads(elements: usize, each: usize) -> u32 {
    (elements.div_ceil(each).next_multiple_of(32)).clamp(32, 1024) as u32
}

fn maybe<T: super::device::Element>(
    slice: Option<Slice<T>>,
    operation: &'static str,
    operand: &'static str,
    needs: usize,
) -> Result<Arg, DeviceError> {
    slice.map_or(Ok(Arg::At(0)), |slice| slice.arg(operation, operand, needs))
}

/// `residual[row] = table[tokens[row]]`. The tokens must be in the vocabulary.
pub(crate) fn embed(
    device: &dyn Device,
    residual: Slice<f32>,
    table: Slice<bf16>,
    tokens: Slice<i32>,
    hidden: usize,
) -> Result<(), DeviceError> {
    let rows = tokens.len;
    let args = [
        residual.arg("embed", "residual", rows * hidden)?,
        table.arg("embed", "table", hidden)?,
        Arg::At(tokens.at),
        int(hidden),
    ];
    device.launch("embed", grid(rows, 1, 1), threads(hidden, 8), &args)
}

/// Operands of [`add_rms_norm`].
pub(crate) struct Norm {
    pub out: Slice<bf16>,
    pub residual: Slice<f32>,
    pub delta: Option<Slice<bf16>>,
    pub weight: Slice<f32>,
    /// Rows of the residual that are wanted; `None`: `rows` from the first on.
    pub picked: Option<Slice<i32>>,
    pub rows: usize,
    pub hidden: usize,
    pub epsilon: f32,
}

/// `residual += delta; out = residual / rms(residual) * weight`.
pub(crate) fn add_rms_norm(device: &dyn Device, norm: &Norm) -> Result<(), DeviceError> {
    let Norm { rows, hidden, .. } = *norm;
    let (name, all) = ("add_rms_norm", rows * hidden);
    let needed = if norm.picked.is_some() { hidden } else { all };
    let args = [
        norm.out.arg(name, "out", all)?,
        norm.residual.arg(name, "residual", needed)?,
        maybe(norm.delta, name, "delta", needed)?,
        norm.weight.arg(name, "weight", hidden)?,
        maybe(norm.picked, name, "picked", rows)?,
        int(hidden),
        Arg::Float(norm.epsilon),
    ];
    device.launch(name, grid(rows, 1, 1), threads(hidden, 4), &args)
}

/// `out = silu(gate) * up` for rows of gate and up side by side.
pub(crate) fn silu_mul(
    device: &dyn Device,
    out: Slice<bf16>,
    joined: Slice<bf16>,
    rows: usize,
    inner: usize,
) -> Result<(), DeviceError> {
    const THREADS: usize = 256;
    let name = "silu_mul";
    let args = [out.arg(name, "out", rows * inner)?, joined.arg(name, "joined", 2 * rows * inner)?, int(inner)];
    device.launch(name, grid(inner.div_ceil(8 * THREADS), rows, 1), THREADS as u32, &args)
}

/// How positions turn heads.
#[derive(Clone, Copy)]
pub(crate) struct Rotary {
    /// `[position][pairs]` of (cos, sin).
    pub angles: Slice<f32>,
    pub pairs: usize,
    pub neighbours: bool,
}

/// What a layer does to queries and keys before attention.
#[derive(Clone, Copy)]
pub(crate) struct HeadWeights {
    pub bias: Option<Slice<f32>>,
    pub query_norm: Option<Slice<f32>>,
    pub key_norm: Option<Slice<f32>>,
    pub epsilon: f32,
}

/// Rows after the QKV product, and the places that their keys and values go to.
#[derive(Clone, Copy)]
pub(crate) struct Projected {
    pub qkv: Slice<bf16>,
    pub positions: Slice<i32>,
    pub slots: Slice<i32>,
}

/// Finishes queries in place and writes keys and values into the cache. Positions and slots must exist.
pub(crate) fn finish_qkv(
    device: &dyn Device,
    rows: Projected,
    cache: Cache,
    weights: HeadWeights,
    rotary: Rotary,
    heads: Heads,
) -> Result<(), DeviceError> {
    const WARPS: usize = 4;
    let (name, count, all) = ("finish_qkv", rows.positions.len, heads.heads + 2 * heads.kv_heads);
    let args = [
        rows.qkv.arg(name, "qkv", count * heads.row())?,
        cache.keys.arg(name, "keys", heads.block())?,
        cache.values.arg(name, "values", heads.block())?,
        maybe(weights.bias, name, "bias", heads.row())?,
        maybe(weights.query_norm, name, "query norm", heads.dim)?,
        maybe(weights.key_norm, name, "key norm", heads.dim)?,
        rotary.angles.arg(name, "angles", 2 * rotary.pairs)?,
        Arg::At(rows.positions.at),
        rows.slots.arg(name, "slots", count)?,
        int(heads.heads),
        int(heads.kv_heads),
        int(heads.dim),
        int(rotary.pairs),
        Arg::Int(i32::from(rotary.neighbours)),
        Arg::Float(weights.epsilon),
    ];
    device.launch(name, grid(count, all.div_ceil(WARPS), 1), WARPS as u32 * 32, &args)
}

/// What attention reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Attention {
    pub out: Slice<bf16>,
    pub qkv: Slice<bf16>,
    pub cache: Cache,
    /// `[sequences][stride]` of block numbers, which must exist.
    pub tables: Slice<i32>,
    pub stride: usize,
    pub heads: Heads,
}

/// Space for the partial results of split contexts.
#[derive(Clone, Copy)]
pub(crate) struct Partial {
    pub values: Slice<f32>,
    pub soft: Slice<f32>,
    /// Into how many parts each context is cut.
    pub splits: usize,
}

impl Partial {
    /// Elements of `values` and `soft` that `parts` (sequences times splits) need.
    pub fn sizes(heads: Heads, parts: usize) -> (usize, usize) {
        (parts * heads.query_row(), parts * heads.heads * 2)
    }
}

/// Attention of one row per sequence over its first `contexts[sequence]` keys.
pub(crate) fn decode(
    device: &dyn Device,
    attention: &Attention,
    partial: Partial,
    rows: Slice<i32>,
    contexts: Slice<i32>,
) -> Result<(), DeviceError> {
    let Attention { heads, stride, .. } = *attention;
    let (name, sequences, splits) = ("decode", rows.len, partial.splits);
    let (values, soft) = if splits > 1 { Partial::sizes(heads, sequences * splits) } else { (0, 0) };
    let (values, soft) = (partial.values.arg(name, "partial", values)?, partial.soft.arg(name, "softmax", soft)?);
    let out = attention.out.arg(name, "out", sequences * heads.query_row())?;
    let args = [
        out,
        values,
        soft,
        attention.qkv.arg(name, "qkv", sequences * heads.row())?,
        attention.cache.keys.arg(name, "keys", heads.block())?,
        attention.cache.values.arg(name, "values", heads.block())?,
        Arg::At(rows.at),
        contexts.arg(name, "contexts", sequences)?,
        attention.tables.arg(name, "tables", sequences * stride)?,
        int(stride),
        int(heads.heads),
        int(heads.kv_heads),
        int(splits),
        Arg::Float(heads.scale()),
    ];
    let kernel = format!("decode_d{}_g{}", heads.dim, heads.heads / heads.kv_heads);
    device.launch(&kernel, grid(sequences, heads.kv_heads, splits), 128, &args)?;
    if splits == 1 {
        return Ok(());
    }
    let args = [out, values, soft, Arg::At(rows.at), int(heads.heads), int(splits), int(heads.dim)];
    device.launch("combine", grid(sequences, heads.heads, 1), threads(heads.dim, 1), &args)
}

/// Attention of prompt chunks; `tiles` holds (first row, rows, first position, sequence) for up to 64 rows each.
pub(crate) fn prefill(device: &dyn Device, attention: &Attention, tiles: Slice<i32>) -> Result<(), DeviceError> {
    let Attention { heads, stride, .. } = *attention;
    let (name, count) = ("prefill", tiles.len / TILE_WORDS);
    let args = [
        attention.out.arg(name, "out", heads.query_row())?,
        attention.qkv.arg(name, "qkv", heads.row())?,
        attention.cache.keys.arg(name, "keys", heads.block())?,
        attention.cache.values.arg(name, "values", heads.block())?,
        Arg::At(tiles.at),
        attention.tables.arg(name, "tables", stride)?,
        int(stride),
        int(heads.heads),
        int(heads.kv_heads),
        Arg::Float(heads.scale()),
    ];
    device.launch(&format!("prefill_d{}", heads.dim), grid(count, heads.heads, 1), 128, &args)
}

/// Chooses a token per row of `logits`; -1 where they hold no number.
pub(crate) fn sample(
    device: &dyn Device,
    tokens: Slice<i32>,
    logits: Slice<f32>,
    draws: Slice<i32>,
    vocabulary: usize,
) -> Result<(), DeviceError> {
    let (name, rows) = ("sample", tokens.len);
    let args = [
        Arg::At(tokens.at),
        logits.arg(name, "logits", rows * vocabulary)?,
        draws.arg(name, "draws", rows * DRAW_WORDS)?,
        int(vocabulary),
    ];
    device.launch(name, grid(rows, 1, 1), threads(vocabulary, 1), &args)
}

/// 4-bit weights on a device, in the layout of `kernels/w4a16.cu`.
#[derive(Clone, Copy)]
pub(crate) struct Packed {
    pub words: Slice<u32>,
    pub scales: Slice<u32>,
    pub group: usize,
    /// Whether any bias differs from zero.
    pub biased: bool,
    pub outputs: usize,
    pub inputs: usize,
}

impl Packed {
    fn args(&self, name: &'static str) -> Result<[Arg; 2], DeviceError> {
        let scales = self.outputs * self.inputs.div_ceil(self.group);
        Ok([self.words.arg(name, "weights", self.outputs * self.inputs / 8)?, self.scales.arg(name, "scales", scales)?])
    }
}

/// `out[row][..outputs] = x[row] weights^T`, rows of `out` being `stride` apart.
pub(crate) fn w4a16(
    device: &dyn Device,
    out: Slice<bf16>,
    stride: usize,
    x: Slice<bf16>,
    weights: &Packed,
    rows: usize,
) -> Result<(), DeviceError> {
    let (name, Packed { outputs, inputs, .. }) = ("w4a16", *weights);
    let (tokens, tall) = match rows {
        0..=8 => (1, 1),
        9..=16 => (2, 1),
        17..=32 => (4, 2),
        _ => (8, 2),
    };
    let [words, scales] = weights.args(name)?;
    let args = [
        out.arg(name, "out", rows.saturating_sub(1) * stride + outputs)?,
        x.arg(name, "x", rows * inputs)?,
        words,
        scales,
        int(rows),
        int(outputs),
        int(inputs),
        int(weights.group),
        int(stride),
        Arg::Int(i32::from(weights.biased)),
    ];
    let blocks = grid(outputs.div_ceil(16 * tall), rows.div_ceil(8 * tokens), 1);
    device.launch(&format!("w4a16_t{tokens}"), blocks, 256, &args)
}

/// 4-bit weights as bf16 `[outputs][inputs]`.
pub(crate) fn widen(device: &dyn Device, out: Slice<bf16>, weights: &Packed) -> Result<(), DeviceError> {
    const WARPS: usize = 4;
    let (name, Packed { outputs, inputs, .. }) = ("widen_w4", *weights);
    let [words, scales] = weights.args(name)?;
    let out = out.arg(name, "out", outputs * inputs)?;
    let args = [out, words, scales, int(outputs), int(inputs), int(weights.group)];
    let blocks = grid((inputs / super::int4::COLUMNS).div_ceil(WARPS), outputs / super::int4::ROWS, 1);
    device.launch(name, blocks, WARPS as u32 * 32, &args)
}
