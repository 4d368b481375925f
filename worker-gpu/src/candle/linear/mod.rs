//! Linear layers: products of a batch's rows with weights that stay in their file's precision.
//!
//! Weights are laid out anew at load, so that sixteen outputs are computed in one vector and a kernel reads them as one
//! stream, once for all rows of a step. Inputs of quantized weights become signed bytes. Q4_K, Q6_K, Q8_0 and the float
//! formats have kernels (one file each); the other formats of GGUF are requantized to Q8_0, which is finer than they are.
//!
//! Every output is summed over the inputs in one fixed order. So it is the same, bit for bit, whatever other rows a batch
//! has, however the work is spread over threads, and on every x86-64 processor with FMA.

mod floats;
mod input;
mod panels;
mod q4k;
mod q6k;
mod q8;
#[cfg(test)]
mod tests;

use super::{
    columns::Columns,
    isa::{LANES, Processor},
    simd,
    team::Team,
};
use candle_core::{
    DType, Device, Result,
    quantized::{GgmlDType, QTensor},
};
use floats::{Brain, Floats, Half, Single};
use input::{Input, Packing};
use panels::{Panels, Target, Weight};

/// Weights that a thread takes at once: what half of a processor's second cache holds.
const LARGEST_PIECE: usize = 384 * 1024;
/// Less than this is not worth being shared.
const SMALLEST_PIECE: usize = 16 * 1024;
/// Pieces for each thread, so that others make up for a thread that the system took away.
const PIECES: usize = 4;

/// `y = x · Wᵀ + b`.
pub(crate) struct Linear {
    weight: Box<dyn Weight>,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    processor: Processor,
}

impl Linear {
    /// From a `[outputs, inputs]` weight of a GGUF file; `bias` has `outputs` numbers or none.
    pub fn new(weight: &QTensor, bias: Vec<f32>) -> Result<Self> {
        let (outputs, inputs) = weight.shape().dims2()?;
        let sizes = (outputs, inputs);
        Ok(match weight.dtype() {
            GgmlDType::Q4K => Self::packed::<q4k::Q4K>(&weight.data()?, sizes, bias),
            GgmlDType::Q6K => Self::packed::<q6k::Q6K>(&weight.data()?, sizes, bias),
            GgmlDType::Q8_0 => Self::packed::<q8::Q8>(&weight.data()?, sizes, bias),
            GgmlDType::F32 => Self::packed::<Floats<Single>>(&weight.data()?, sizes, bias),
            GgmlDType::F16 => Self::packed::<Floats<Half>>(&weight.data()?, sizes, bias),
            GgmlDType::BF16 => Self::packed::<Floats<Brain>>(&weight.data()?, sizes, bias),
            _ => {
                let requantized = QTensor::quantize(&weight.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)?;
                Self::packed::<q8::Q8>(&requantized.data()?, sizes, bias)
            }
        })
    }

    /// From a `[outputs, inputs]` weight of floats (`F32`, `F16` or `BF16`) as a safetensors file has it: row by row,
    /// little-endian. `bias` has `outputs` numbers or none. Any width will do.
    pub fn from_floats(dtype: DType, weight: &[u8], outputs: usize, inputs: usize, bias: Vec<f32>) -> Result<Self> {
        if weight.len() != outputs * inputs * dtype.size_in_bytes() {
            candle_core::bail!("{} bytes are no {outputs} times {inputs} numbers of {dtype:?}", weight.len());
        }
        match dtype {
            DType::F32 => Ok(Self::packed::<Floats<Single>>(weight, (outputs, inputs), bias)),
            DType::F16 => Ok(Self::packed::<Floats<Half>>(weight, (outputs, inputs), bias)),
            DType::BF16 => Ok(Self::packed::<Floats<Brain>>(weight, (outputs, inputs), bias)),
            other => candle_core::bail!("weights of {other:?}; supported are F32, F16 and BF16"),
        }
    }

    fn packed<B: panels::Block + 'static>(filed: &[u8], (outputs, inputs): (usize, usize), bias: Vec<f32>) -> Self {
        let weight = Box::new(Panels::<B>::new(filed, outputs, inputs));
        Self { weight, bias, inputs, outputs, processor: Processor::best() }
    }

    /// How many outputs there are.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights of one output, `inputs` numbers.
    pub fn row(&self, output: usize, to: &mut [f32]) {
        self.weight.row(output, to);
    }

    /// `to = x · Wᵀ + b`, `[rows][outputs]`; `read` writes the row of a number into a slice of `inputs` numbers.
    pub fn forward(&self, team: &Team, rows: usize, read: &(impl Fn(usize, &mut [f32]) + Sync), to: &mut [f32]) {
        Self::forward_all([self], team, rows, read, [to]);
    }

    /// `to += x · Wᵀ + b`, `[rows][outputs]`.
    pub fn add(&self, team: &Team, rows: usize, read: &(impl Fn(usize, &mut [f32]) + Sync), to: &mut [f32]) {
        let input = self.pack(team, rows, read);
        let pieces = Piece::cut(self, to, self.piece(team, self.bytes()));
        team.each(pieces.collect(), |mut piece| piece.compute(&input, Target::Add));
    }

    /// Several layers on the same rows, which are packed once for all; `to` has `[rows][outputs]` for each.
    pub fn forward_all<const N: usize>(
        layers: [&Self; N],
        team: &Team,
        rows: usize,
        read: &(impl Fn(usize, &mut [f32]) + Sync),
        to: [&mut [f32]; N],
    ) {
        let bytes = layers.iter().map(|layer| layer.bytes()).sum();
        let mut inputs: Vec<(Packing, Input)> = Vec::new();
        for layer in layers {
            if inputs.iter().all(|(packing, _)| *packing != layer.weight.packing()) {
                inputs.push((layer.weight.packing(), layer.pack(team, rows, read)));
            }
        }
        let pieces = layers.into_iter().zip(to).flat_map(|(layer, to)| Piece::cut(layer, to, layer.piece(team, bytes)));
        team.each(pieces.collect(), |mut piece: Piece| {
            let input = inputs.iter().find(|(packing, _)| *packing == piece.layer.weight.packing());
            input.iter().for_each(|(_, input)| piece.compute(input, Target::Store));
        });
    }

    /// `to = silu(gate(x)) * up(x)`, `[rows][outputs]`; both layers have the same sizes.
    pub fn gated(
        gate: &Self,
        up: &Self,
        team: &Team,
        rows: usize,
        read: &(impl Fn(usize, &mut [f32]) + Sync),
        to: &mut [f32],
    ) {
        let input = gate.pack(team, rows, read);
        let other = (gate.weight.packing() != up.weight.packing()).then(|| up.pack(team, rows, read));
        let width = gate.piece(team, gate.bytes() + up.bytes());
        team.each(Piece::cut(gate, to, width).collect(), |mut piece| {
            piece.compute(&input, Target::Store);
            let mut factors = vec![0.0; rows * piece.to.width()];
            let width = piece.to.width();
            for to in Columns::split(&mut factors, width, width) {
                Piece { layer: up, first: piece.first, to }.compute(other.as_ref().unwrap_or(&input), Target::Store);
            }
            for (row, factors) in factors.chunks_exact(width).enumerate() {
                simd::silu_mul(piece.to.row(row), factors);
            }
        });
    }

    fn pack(&self, team: &Team, rows: usize, read: &(impl Fn(usize, &mut [f32]) + Sync)) -> Input {
        Input::pack(self.processor, self.weight.packing(), (rows, self.inputs), team, read)
    }

    fn bytes(&self) -> usize {
        self.outputs.div_ceil(LANES) * self.weight.panel_bytes()
    }

    /// How many panels a thread takes at once from layers of so many bytes.
    fn piece(&self, team: &Team, bytes: usize) -> usize {
        let piece = (bytes / (team.threads() * PIECES)).clamp(SMALLEST_PIECE, LARGEST_PIECE);
        (piece / self.weight.panel_bytes()).max(1)
    }
}

/// Some panels of a layer, and where their outputs go.
struct Piece<'a, 'b> {
    layer: &'a Linear,
    /// The first panel.
    first: usize,
    to: Columns<'b>,
}

impl<'a, 'b> Piece<'a, 'b> {
    fn cut(layer: &'a Linear, to: &'b mut [f32], panels: usize) -> impl Iterator<Item = Self> {
        let columns = Columns::split(to, layer.outputs, panels * LANES);
        columns.enumerate().map(move |(number, to)| Self { layer, first: number * panels, to })
    }

    fn compute(&mut self, input: &Input, target: Target) {
        let bias = self.layer.bias.get(self.first * LANES..).unwrap_or_default();
        self.layer.weight.multiply(input, self.first, bias, target, &mut self.to);
    }
}
