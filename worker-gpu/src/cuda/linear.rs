//! Weights on a device, and products with them.

use super::{
    device::{Buffer, Device, DeviceError, Element, Product, Slice},
    int4::Grouped,
    kernels::{self, Packed},
};
use half::bf16;
use std::sync::Arc;

/// Rows up to which 4-bit weights are multiplied as they are; with more, widening them first costs less.
const NARROW_ROWS: usize = 256;

/// A weight matrix `[outputs][inputs]` as it comes from a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Matrix {
    Dense { outputs: usize, inputs: usize, weights: Vec<bf16> },
    Int4(Grouped),
}

impl Matrix {
    fn outputs(&self) -> usize {
        match self {
            Self::Dense { outputs, .. } => *outputs,
            Self::Int4(int4) => int4.outputs,
        }
    }

    fn inputs(&self) -> usize {
        match self {
            Self::Dense { inputs, .. } => *inputs,
            Self::Int4(int4) => int4.inputs,
        }
    }

    /// Takes `below` in beneath itself; gives it back when it is of another kind.
    fn stack(&mut self, below: Self) -> Option<Self> {
        match (self, below) {
            (Self::Dense { outputs, weights, inputs }, Self::Dense { outputs: more, weights: below, inputs: same })
                if *inputs == same =>
            {
                *outputs += more;
                weights.extend(below);
                None
            }
            (Self::Int4(own), Self::Int4(below)) if own.inputs == below.inputs && own.group == below.group => {
                own.outputs += below.outputs;
                own.quants.extend(below.quants);
                own.scales.extend(below.scales);
                None
            }
            (_, below) => Some(below),
        }
    }
}

enum Weights {
    Dense(Buffer<bf16>),
    Int4 { words: Buffer<u32>, scales: Buffer<u32>, group: usize, biased: bool },
}

struct Part {
    weights: Weights,
    outputs: usize,
}

/// One or several matrices that share their input, whose outputs lie side by side; neighbours of one kind are fused.
pub(crate) struct Linear {
    device: Arc<dyn Device>,
    parts: Vec<Part>,
    pub outputs: usize,
    pub inputs: usize,
}

impl Linear {
    pub fn new(device: &Arc<dyn Device>, matrices: Vec<Matrix>) -> Result<Self, DeviceError> {
        let (inputs, outputs) =
            (matrices.first().map_or(0, Matrix::inputs), matrices.iter().map(Matrix::outputs).sum());
        let mut fused: Vec<Matrix> = Vec::new();
        for matrix in matrices {
            let rest = match fused.last_mut() {
                Some(last) => last.stack(matrix),
                None => Some(matrix),
            };
            fused.extend(rest);
        }
        let parts = fused.into_iter().map(|matrix| Part::new(device, &matrix)).collect::<Result<_, _>>()?;
        Ok(Self { device: device.clone(), parts, outputs, inputs })
    }

    /// Elements of bf16 that [`Linear::forward`] needs as scratch space for more than a few rows.
    pub fn scratch(&self) -> usize {
        let narrow = self.parts.iter().filter(|part| matches!(part.weights, Weights::Int4 { .. }));
        narrow.map(|part| part.outputs * self.inputs).max().unwrap_or(0)
    }

    /// `out[rows][outputs] = x[rows][inputs] weights^T`.
    pub fn forward(
        &self,
        out: Slice<bf16>,
        x: Slice<bf16>,
        rows: usize,
        scratch: Slice<bf16>,
    ) -> Result<(), DeviceError> {
        let mut first = 0;
        for part in &self.parts {
            let columns = out.part(first, out.len.saturating_sub(first))?;
            let narrow = match &part.weights {
                Weights::Dense(weights) => {
                    self.dense(columns, x, weights.all(), (rows, part.outputs))?;
                    None
                }
                Weights::Int4 { words, scales, group, biased } => {
                    let (words, scales, inputs) = (words.all(), scales.all(), self.inputs);
                    Some(Packed { words, scales, group: *group, biased: *biased, outputs: part.outputs, inputs })
                }
            };
            match narrow {
                Some(packed) if rows <= NARROW_ROWS => {
                    kernels::w4a16(&*self.device, columns, self.outputs, x, &packed, rows)?;
                }
                Some(packed) => {
                    kernels::widen(&*self.device, scratch, &packed)?;
                    self.dense(columns, x, scratch, (rows, part.outputs))?;
                }
                None => {}
            }
            first += part.outputs;
        }
        Ok(())
    }

    /// The weights as a table of rows; for weights that are not quantized.
    pub fn table(&self) -> Result<Slice<bf16>, DeviceError> {
        match self.parts.as_slice() {
            [Part { weights: Weights::Dense(weights), .. }] => Ok(weights.all()),
            _ => Err(DeviceError::refused("a table", "the weights are quantized")),
        }
    }

    /// The same with results in f32; for weights that are not quantized.
    pub fn forward_wide(&self, out: Slice<f32>, x: Slice<bf16>, rows: usize) -> Result<(), DeviceError> {
        self.dense(out, x, self.table()?, (rows, self.outputs))
    }

    fn dense<T: Element>(
        &self,
        out: Slice<T>,
        x: Slice<bf16>,
        weights: Slice<bf16>,
        (rows, outputs): (usize, usize),
    ) -> Result<(), DeviceError> {
        let (name, inputs, out_stride) = ("a product", self.inputs, self.outputs);
        out.arg(name, "out", rows.saturating_sub(1) * out_stride + outputs)?;
        x.arg(name, "x", rows * inputs)?;
        weights.arg(name, "the weights", outputs * inputs)?;
        let wide = size_of::<T>() == size_of::<f32>();
        let (out, x, weights) = (out.at, x.at, weights.at);
        self.device.multiply(&Product { out, wide, x, weights, rows, outputs, inputs, out_stride })
    }
}

impl Part {
    fn new(device: &Arc<dyn Device>, matrix: &Matrix) -> Result<Self, DeviceError> {
        let weights = match matrix {
            Matrix::Dense { weights, .. } => Weights::Dense(Buffer::from_slice(device, weights)?),
            Matrix::Int4(int4) => Weights::Int4 {
                words: Buffer::from_slice(device, &int4.words())?,
                scales: Buffer::from_slice(device, &int4.pairs())?,
                group: int4.group,
                biased: int4.biased(),
            },
        };
        Ok(Self { weights, outputs: matrix.outputs() })
    }
}
