//! A linear layer on quantized weights.
//!
//! On x86-64 candle multiplies Q4K, Q6K and Q8_0 weights by int8 dot products (AVX-512 VNNI, AVX-VNNI or AVX2, found at
//! run time, so a portable build has them) if the input width is a multiple of 256 and the output width of 16. It
//! repacks the weights at their first use, which [`Linear::warm`] makes happen at load. Everything else goes through
//! scalar or narrow code, ten times slower; such weights are widened with zeros and requantized to Q8_0, which is finer
//! than what they come from.

use candle_core::{
    D, Device, Module, Result, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};
use std::sync::Arc;

/// Input widths that the fast kernels take are multiples of this.
const WIDTH: usize = 256;
/// Output widths that the fast kernels take are multiples of this.
const HEIGHT: usize = 16;

/// `y = x · Wᵀ + b`.
pub(crate) struct Linear {
    weight: QMatMul,
    bias: Option<Tensor>,
    inputs: usize,
    /// Zeros that an input is widened by.
    padding: usize,
}

impl Linear {
    /// From a `[outputs, inputs]` weight.
    pub fn new(weight: Arc<QTensor>, bias: Option<Tensor>) -> Result<Self> {
        let (outputs, inputs) = weight.shape().dims2()?;
        let weight =
            if can_be_fast(weight.dtype(), outputs, inputs) { weight } else { Arc::new(requantized(&weight)?) };
        let padding = weight.shape().dims2()?.1 - inputs;
        Ok(Self { weight: QMatMul::from_arc(weight)?, bias, inputs, padding })
    }

    /// For rows of inputs, `[rows, inputs]`.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = self.weight.forward(&self.widened(xs)?)?;
        self.biased(ys)
    }

    /// Several layers on the same input: one pass over it where candle has one.
    pub fn forward_all<const N: usize>(layers: [&Self; N], xs: &Tensor) -> Result<Vec<Tensor>> {
        let weights: Option<Vec<&QTensor>> = layers.iter().map(|layer| layer.quantized()).collect();
        let fused = match weights {
            Some(weights) => QTensor::gemv_fused_shared_lhs(&weights, &layers[0].widened(xs)?)?,
            None => None,
        };
        match fused {
            Some(all) => all.into_iter().zip(layers).map(|(ys, layer)| layer.biased(ys)).collect(),
            None => layers.into_iter().map(|layer| layer.forward(xs)).collect(),
        }
    }

    /// Lets candle repack the weights, which takes longer than a forward pass.
    pub fn warm(&self) -> Result<()> {
        // Two rows: for one, candle keeps some formats as they are.
        self.forward(&Tensor::zeros((2, self.inputs), candle_core::DType::F32, &Device::Cpu)?).map(drop)
    }

    fn quantized(&self) -> Option<&QTensor> {
        match &self.weight {
            QMatMul::QTensor(weight) => Some(weight),
            _ => None,
        }
    }

    fn widened(&self, xs: &Tensor) -> Result<Tensor> {
        if self.padding == 0 { Ok(xs.clone()) } else { xs.pad_with_zeros(D::Minus1, 0, self.padding)?.contiguous() }
    }

    fn biased(&self, ys: Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => ys.broadcast_add(bias),
            None => Ok(ys),
        }
    }
}

/// Whether candle's kernels take the weight as it is, or nothing can make them.
fn can_be_fast(dtype: GgmlDType, outputs: usize, inputs: usize) -> bool {
    use GgmlDType::{BF16, F16, F32, Q4K, Q6K, Q8_0};
    let whole = matches!(dtype, F32 | F16 | BF16);
    let fast = matches!(dtype, Q4K | Q6K | Q8_0) && inputs.is_multiple_of(WIDTH);
    whole || fast || !outputs.is_multiple_of(HEIGHT) || !cfg!(target_arch = "x86_64")
}

fn requantized(weight: &QTensor) -> Result<QTensor> {
    let floats = weight.dequantize(&Device::Cpu)?;
    let inputs = floats.dim(D::Minus1)?;
    let widened = floats.pad_with_zeros(D::Minus1, 0, inputs.next_multiple_of(WIDTH) - inputs)?;
    QTensor::quantize(&widened.contiguous()?, GgmlDType::Q8_0)
}
