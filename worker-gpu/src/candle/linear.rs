//! Linear layers on quantized weights.
//!
//! On x86-64 candle multiplies Q4K, Q6K and Q8_0 weights by int8 dot products (AVX-512 VNNI, AVX-VNNI or AVX2, found at
//! run time, so a portable build has them) if the input width is a multiple of 256 and the output width of 16. It
//! repacks the weights at their first use, which [`Linear::warm`] makes happen at load. Everything else goes through
//! scalar or narrow code, ten times slower; such weights are widened with zeros and requantized to Q8_0, which is finer
//! than what they come from.
//!
//! Weights are cut into shards of rows when this crate, not candle, spreads the work over threads (see `threads`). How
//! the work is cut never changes a result: each output is one dot product.

use candle_core::{
    D, DType, Device, Module, Result, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use rayon::prelude::*;
use std::{borrow::Cow, ops::Range};

/// Input widths that the fast kernels take are multiples of this.
const WIDTH: usize = 256;
/// Output widths that the fast kernels take are multiples of this.
const HEIGHT: usize = 16;
/// Outputs of the smallest shard.
const SHARD: usize = 64;
/// Rows that make up for reading the weights once more. From twice as many on, rows are spread over the threads and not
/// shards, so that each row is prepared once.
const ROWS: usize = 64;

/// `y = x · Wᵀ + b`.
pub(crate) struct Linear {
    /// Consecutive outputs' weights; all but the last have `shard` outputs.
    shards: Vec<QMatMul>,
    shard: usize,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    /// Zeros that an input is widened by.
    padding: usize,
}

impl Linear {
    /// From a `[outputs, inputs]` weight, cut into `shards` at most.
    pub fn new(weight: &QTensor, bias: Vec<f32>, shards: usize) -> Result<Self> {
        let (outputs, inputs) = weight.shape().dims2()?;
        let requantized = if is_slow(weight.dtype(), outputs) || is_odd(weight.dtype(), outputs, inputs) {
            Some(requantized(weight)?)
        } else {
            None
        };
        let weight = requantized.as_ref().unwrap_or(weight);
        let padding = weight.shape().dims2()?.1 - inputs;
        let shard = outputs.div_ceil(shards).next_multiple_of(HEIGHT).max(SHARD).min(outputs);
        let cut = (0..outputs).step_by(shard).map(|at| cut(weight, at..outputs.min(at + shard)));
        Ok(Self { shards: cut.collect::<Result<_>>()?, shard, bias, inputs, outputs, padding })
    }

    /// For rows of inputs, `[rows, inputs]`.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let [ys] = Self::forward_all([self], xs)?;
        Ok(ys)
    }

    /// Several layers on the same input, which is prepared once.
    pub fn forward_all<const N: usize>(layers: [&Self; N], xs: &Tensor) -> Result<[Tensor; N]> {
        let xs = layers[0].widened(xs)?;
        let rows = xs.dim(0)?;
        let most = layers.iter().map(|layer| layer.shards.len()).max().unwrap_or(1);
        let parts = if most == 1 {
            vec![part(&layers, 0..1, &xs, 0)?]
        } else if rows >= 2 * ROWS {
            // More pieces than threads, so that others make up for a thread that the system took away.
            let step = rows.div_ceil(2 * most).max(ROWS).next_multiple_of(4);
            let starts: Vec<usize> = (0..rows).step_by(step).collect();
            let chunk = |&at: &usize| part(&layers, 0..most, &xs.narrow(0, at, step.min(rows - at))?, at);
            starts.par_iter().map(chunk).collect::<Result<_>>()?
        } else {
            (0..most).into_par_iter().map(|shard| part(&layers, shard..shard + 1, &xs, 0)).collect::<Result<_>>()?
        };
        let mut joined = Vec::with_capacity(N);
        for (number, layer) in layers.iter().enumerate() {
            joined.push(layer.join(rows, parts.iter().flatten().filter(|piece| piece.layer == number))?);
        }
        joined.try_into().map_err(|_| candle_core::Error::Msg("one result per layer expected".into()))
    }

    /// Lets candle repack the weights, which takes longer than a forward pass.
    pub fn warm(&self) -> Result<()> {
        // Two rows: for one, candle keeps some formats as they are.
        self.forward(&Tensor::zeros((2, self.inputs), DType::F32, &Device::Cpu)?).map(drop)
    }

    fn widened(&self, xs: &Tensor) -> Result<Tensor> {
        if self.padding == 0 { Ok(xs.clone()) } else { xs.pad_with_zeros(D::Minus1, 0, self.padding)?.contiguous() }
    }

    /// Puts the pieces of the result together and adds the bias.
    fn join<'a>(&self, rows: usize, pieces: impl Iterator<Item = &'a Piece>) -> Result<Tensor> {
        let mut pieces = pieces.peekable();
        if self.bias.is_empty()
            && let Some(whole) = pieces.next_if(|piece| piece.values.dims() == [rows, self.outputs])
        {
            return Ok(whole.values.clone());
        }
        let mut ys = vec![0.0; rows * self.outputs];
        for piece in pieces {
            let (count, width) = piece.values.dims2()?;
            let to = ys[piece.row * self.outputs..].chunks_exact_mut(self.outputs).take(count);
            super::with_floats(&piece.values, |values| {
                for (to, from) in to.zip(values.chunks_exact(width)) {
                    to[piece.output..piece.output + width].copy_from_slice(from);
                }
            })?;
        }
        if !self.bias.is_empty() {
            let add = |row: &mut [f32]| row.iter_mut().zip(&self.bias).for_each(|(y, b)| *y += b);
            ys.chunks_exact_mut(self.outputs).for_each(add);
        }
        Tensor::from_vec(ys, (rows, self.outputs), &Device::Cpu)
    }
}

/// A block of a layer's result.
struct Piece {
    layer: usize,
    row: usize,
    output: usize,
    values: Tensor,
}

/// What some shards of some layers make of `xs`, the first row of which is number `row`.
fn part(layers: &[&Linear], shards: Range<usize>, xs: &Tensor, row: usize) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut weights: Vec<(usize, usize, &QMatMul)> = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let own = shards.start.min(layer.shards.len())..shards.end.min(layer.shards.len());
        weights.extend(own.map(|shard| (number, shard * layer.shard, &layer.shards[shard])));
    }
    for group in weights.chunk_by(|a, b| dtype(a.2) == dtype(b.2)) {
        let same: Vec<&QMatMul> = group.iter().map(|(_, _, weight)| *weight).collect();
        let results = multiply(&same, xs)?.into_iter().zip(group);
        pieces.extend(results.map(|(values, &(layer, output, _))| Piece { layer, row, output, values }));
    }
    Ok(pieces)
}

/// Products with weights of one format; candle does them in one pass where it can.
fn multiply(weights: &[&QMatMul], xs: &Tensor) -> Result<Vec<Tensor>> {
    let quantized: Option<Vec<&QTensor>> = weights.iter().map(|weight| quantized(weight)).collect();
    let fused = match quantized {
        Some(quantized) if quantized.len() > 1 => QTensor::gemv_fused_shared_lhs(&quantized, xs)?,
        _ => None,
    };
    fused.map_or_else(|| weights.iter().map(|weight| weight.forward(xs)).collect(), Ok)
}

fn quantized(weight: &QMatMul) -> Option<&QTensor> {
    match weight {
        QMatMul::QTensor(weight) => Some(weight),
        _ => None,
    }
}

fn dtype(weight: &QMatMul) -> Option<GgmlDType> {
    quantized(weight).map(QTensor::dtype)
}

/// Some rows of a weight.
fn cut(weight: &QTensor, rows: Range<usize>) -> Result<QMatMul> {
    let (outputs, inputs) = weight.shape().dims2()?;
    let data = weight.data()?;
    let row = data.len() / outputs;
    let data = Cow::Borrowed(&data[rows.start * row..rows.end * row]);
    let storage = QStorage::from_data(data, &Device::Cpu, weight.dtype())?;
    QMatMul::from_qtensor(QTensor::new(storage, (rows.len(), inputs))?)
}

/// A format that candle has no fast kernel for, though one could be made.
fn is_slow(dtype: GgmlDType, outputs: usize) -> bool {
    use GgmlDType::{BF16, F16, F32, Q4K, Q6K, Q8_0};
    !matches!(dtype, F32 | F16 | BF16 | Q4K | Q6K | Q8_0) && has_kernels(outputs)
}

/// A width that candle has no fast kernel for, though zeros would help.
fn is_odd(dtype: GgmlDType, outputs: usize, inputs: usize) -> bool {
    let whole = matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16);
    !whole && !inputs.is_multiple_of(WIDTH) && has_kernels(outputs)
}

fn has_kernels(outputs: usize) -> bool {
    cfg!(target_arch = "x86_64") && outputs.is_multiple_of(HEIGHT)
}

fn requantized(weight: &QTensor) -> Result<QTensor> {
    let floats = weight.dequantize(&Device::Cpu)?;
    let inputs = floats.dim(D::Minus1)?;
    let widened = floats.pad_with_zeros(D::Minus1, 0, inputs.next_multiple_of(WIDTH) - inputs)?;
    QTensor::quantize(&widened.contiguous()?, GgmlDType::Q8_0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize) -> Tensor {
        let number = |n: usize| ((n * 7919 % 1013) as f32 - 506.0) / 700.0;
        Tensor::from_vec((0..rows * columns).map(number).collect(), (rows, columns), &Device::Cpu).unwrap()
    }

    /// Shards, rows and what else is multiplied beside never change a bit.
    #[test]
    fn cutting_the_work_changes_nothing() {
        for (dtype, inputs) in
            [(GgmlDType::Q4K, 512), (GgmlDType::Q6K, 512), (GgmlDType::Q8_0, 96), (GgmlDType::Q4_1, 64)]
        {
            let weight = |outputs| QTensor::quantize(&numbers(outputs, inputs), dtype).unwrap();
            let (wide, narrow) = (weight(336), weight(64));
            let layer =
                |weight: &QTensor, shards| Linear::new(weight, vec![0.5; weight.shape().dims()[0]], shards).unwrap();
            for rows in [1, 3, 17, 130] {
                let xs = numbers(rows, inputs);
                let whole = layer(&wide, 1).forward(&xs).unwrap().to_vec2::<f32>().unwrap();
                let (wide, narrow) = (layer(&wide, 4), layer(&narrow, 4));
                assert_eq!((wide.shards.len(), narrow.shards.len()), (4, 1));
                let [_, cut] = Linear::forward_all([&narrow, &wide], &xs).unwrap();
                assert_eq!(whole, cut.to_vec2::<f32>().unwrap(), "{dtype:?}, {rows} rows");
            }
        }
    }

    #[test]
    fn widened_and_requantized_weights_stay_close() {
        let weight = numbers(64, 96);
        let xs = numbers(5, 96);
        let exact = xs.matmul(&weight.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let linear = Linear::new(&QTensor::quantize(&weight, GgmlDType::Q5_1).unwrap(), vec![], 2).unwrap();
        assert_eq!(linear.padding, 160);
        let found = linear.forward(&xs).unwrap().to_vec2::<f32>().unwrap();
        for (exact, found) in exact.iter().flatten().zip(found.iter().flatten()) {
            assert!((exact - found).abs() < 0.3, "{exact} {found}");
        }
    }
}
