//! From a stored matrix to one that the kernels compute with.

use super::{int4::Grouped, linear::Matrix};
use crate::weights::{Data, Float, Int4, Weight};
use candle_core::{
    Device,
    quantized::{GgmlDType, ggml_file::qtensor_from_ggml},
};
use half::{bf16, f16};
use rayon::prelude::*;

/// Inputs of a block of GGUF's `Q4_0` and `Q4_1`, and of a part of `Q4_K`.
const SMALL: usize = 32;
/// Bytes of a block of `Q4_K`: 256 inputs, of which each 32 have a scale and a minimum.
const Q4K_BYTES: usize = 144;

impl Matrix {
    /// Keeps four bits where the kernels can compute with them; everything else becomes bf16.
    pub fn read(weight: Weight) -> candle_core::Result<Self> {
        let (outputs, inputs) = (weight.outputs, weight.inputs);
        match weight.data {
            Data::Floats(float, bytes) => Ok(Self::Dense { outputs, inputs, weights: narrow(float, &bytes) }),
            Data::Int4(int4) => grouped(outputs, inputs, &int4),
            Data::Blocks(dtype, bytes) => match blocks(dtype, &bytes) {
                Some((quants, scales)) if Grouped::fits(outputs, inputs, SMALL) => {
                    Ok(Self::Int4(Grouped { outputs, inputs, group: SMALL, quants, scales }))
                }
                _ => dequantized(outputs, inputs, dtype, &bytes),
            },
        }
    }

    /// The same in bf16, for tables and for products with results in f32.
    pub fn read_dense(weight: Weight) -> candle_core::Result<Self> {
        match weight.data {
            Data::Blocks(dtype, bytes) => dequantized(weight.outputs, weight.inputs, dtype, &bytes),
            Data::Int4(int4) => dequantized(weight.outputs, weight.inputs, GgmlDType::Q8_0, &int4.q8_0()),
            data @ Data::Floats(..) => Self::read(Weight { data, ..weight }),
        }
    }
}

fn narrow(float: Float, bytes: &[u8]) -> Vec<bf16> {
    match float {
        Float::Bf16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes)).collect(),
        _ => float.widen(bytes).into_par_iter().map(bf16::from_f32).collect(),
    }
}

fn dequantized(outputs: usize, inputs: usize, dtype: GgmlDType, bytes: &[u8]) -> candle_core::Result<Matrix> {
    let tensor = qtensor_from_ggml(dtype, bytes, vec![outputs, inputs], &Device::Cpu)?.dequantize(&Device::Cpu)?;
    let floats: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
    Ok(Matrix::Dense { outputs, inputs, weights: floats.into_par_iter().map(bf16::from_f32).collect() })
}

/// AWQ and GPTQ: `scale (q - zero)`.
fn grouped(outputs: usize, inputs: usize, int4: &Int4) -> candle_core::Result<Matrix> {
    if !Grouped::fits(outputs, inputs, int4.group) {
        return dequantized(outputs, inputs, GgmlDType::Q8_0, &int4.q8_0());
    }
    let quants = int4.packed.iter().flat_map(|two| [two & 15, two >> 4]).collect();
    let scale = |(scale, zero): (&f16, &u8)| (scale.to_f32(), scale.to_f32() * (8.0 - f32::from(*zero)));
    let scales = int4.scales.iter().zip(&int4.zeros).map(scale).collect();
    Ok(Matrix::Int4(Grouped { outputs, inputs, group: int4.group, quants, scales }))
}

/// Quants from 0 to 15, and (scale, bias) of each 32 inputs.
type Blocks = (Vec<u8>, Vec<(f32, f32)>);

/// Takes four-bit blocks apart, by the definitions of GGML; `None` for blocks of other kinds.
fn blocks(dtype: GgmlDType, bytes: &[u8]) -> Option<Blocks> {
    let half = |bytes: &[u8], at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
    let (mut quants, mut scales) = Blocks::default();
    match dtype {
        // f16 scale, 16 bytes: w = scale (q - 8).
        GgmlDType::Q4_0 => bytes.chunks_exact(18).for_each(|block| {
            scales.push((half(block, 0), 0.0));
            nibbles(&block[2..], &mut quants);
        }),
        // f16 scale, f16 minimum, 16 bytes: w = scale q + minimum.
        GgmlDType::Q4_1 => bytes.chunks_exact(20).for_each(|block| {
            scales.push((half(block, 0), half(block, 2) + 8.0 * half(block, 0)));
            nibbles(&block[4..], &mut quants);
        }),
        // f16 scale of scales and of minimums, 8 pairs of 6 bits, 4 x 32 bytes: w = scale q - minimum.
        GgmlDType::Q4K => bytes.chunks_exact(Q4K_BYTES).for_each(|block| {
            let (scale_of, minimum_of) = (half(block, 0), half(block, 2));
            scales.extend((0..8).map(|part| {
                let (scale, minimum) = six_bits(&block[4..16], part);
                let scale = scale_of * f32::from(scale);
                (scale, 8.0 * scale - minimum_of * f32::from(minimum))
            }));
            block[16..].chunks_exact(SMALL).for_each(|bytes| nibbles(bytes, &mut quants));
        }),
        _ => return None,
    }
    Some((quants, scales))
}

/// Low halves first, then high ones.
fn nibbles(bytes: &[u8], quants: &mut Vec<u8>) {
    quants.extend(bytes.iter().map(|byte| byte & 15));
    quants.extend(bytes.iter().map(|byte| byte >> 4));
}

/// Scale and minimum number `part` of the eight in 12 bytes.
fn six_bits(bytes: &[u8], part: usize) -> (u8, u8) {
    if part < 4 {
        return (bytes[part] & 63, bytes[part + 4] & 63);
    }
    let both = bytes[part + 4];
    (both & 15 | bytes[part - 4] >> 6 << 4, both >> 4 | bytes[part] >> 6 << 4)
}
