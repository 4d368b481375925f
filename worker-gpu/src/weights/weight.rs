//! A weight as it is stored.

use super::Int4;
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

/// Formats of single numbers, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Float {
    F32,
    F16,
    Bf16,
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One by one.
    Float(Float),
    /// In quantized blocks of GGUF.
    Blocks(GgmlDType),
    /// 32-bit integers; in what, the quantization's method knows.
    I32,
    /// Anything else.
    Other,
}

/// A matrix `[outputs, inputs]` as it is stored, on its way to a device.
pub(crate) struct Weight {
    pub outputs: usize,
    pub inputs: usize,
    pub data: Data,
}

/// A matrix's numbers, row by row.
pub(crate) enum Data {
    Floats(Float, Vec<u8>),
    /// Blocks along the rows.
    Blocks(GgmlDType, Vec<u8>),
    Int4(Int4),
}

impl Float {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Widens numbers; nothing is lost.
    pub fn widen(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Self::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            Self::Bf16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        }
    }
}

impl Kind {
    /// Bytes of `count` numbers, if that many can be stored.
    pub fn bytes(self, count: usize) -> Option<usize> {
        match self {
            Self::Float(float) => count.checked_mul(float.size()),
            Self::I32 => count.checked_mul(4),
            Self::Blocks(dtype) if count.is_multiple_of(dtype.block_size()) => {
                (count / dtype.block_size()).checked_mul(dtype.type_size())
            }
            Self::Blocks(_) | Self::Other => None,
        }
    }
}

/// `F32`, `F16` and `BF16` of GGUF are single numbers.
impl From<GgmlDType> for Kind {
    fn from(dtype: GgmlDType) -> Self {
        match dtype {
            GgmlDType::F32 => Self::Float(Float::F32),
            GgmlDType::F16 => Self::Float(Float::F16),
            GgmlDType::BF16 => Self::Float(Float::Bf16),
            blocks => Self::Blocks(blocks),
        }
    }
}
