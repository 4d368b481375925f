//! Weights of four bits with a scale and a zero per group of inputs, as AWQ and GPTQ store them.

mod awq;
mod gptq;

use super::{Info, Kind, WeightsProblem, keys::Keys};
use half::f16;

/// Four-bit numbers in a 32-bit word.
const PER_WORD: usize = 8;
/// Groups that the kernels take.
const GROUPS: [usize; 3] = [32, 64, 128];

/// A matrix of four-bit weights: `w[output][input] = scale · (q - zero)`, where scale and zero are those of the output
/// and of the input's group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Int4 {
    /// Inputs of a group: 32, 64 or 128.
    pub group: usize,
    /// `[outputs][inputs / 2]`, the even input's weight in the low half of a byte.
    pub packed: Vec<u8>,
    /// `[outputs][inputs / group]`.
    pub scales: Vec<f16>,
    /// `[outputs][inputs / group]`, from 0 to 16.
    pub zeros: Vec<u8>,
}

impl Int4 {
    /// The same matrix in GGUF's `Q8_0` blocks of 32 inputs; nothing is lost.
    pub fn q8_0(&self) -> Vec<u8> {
        const BLOCK: usize = 32;
        let of_group = self.scales.iter().zip(&self.zeros);
        let groups = self.packed.chunks_exact(self.group / 2).zip(of_group);
        let mut blocks = Vec::with_capacity(self.packed.len() * 2 / BLOCK * (BLOCK + 2));
        for (packed, (scale, zero)) in groups {
            for block in packed.chunks_exact(BLOCK / 2) {
                blocks.extend_from_slice(&scale.to_le_bytes());
                blocks.extend(block.iter().flat_map(|two| [two & 15, two >> 4]).map(|q| q.wrapping_sub(*zero)));
            }
        }
        blocks
    }
}

/// Which tensors a matrix consists of, and what their bits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scheme {
    method: Method,
    /// Inputs that share scale and zero.
    group: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Awq,
    /// `offset` is added to the stored zeros: 1 in the first version of the format.
    Gptq {
        offset: u8,
    },
}

/// Reads a tensor.
pub(super) type Read<'a> = dyn Fn(&str) -> Result<(Kind, Vec<u8>), WeightsProblem> + 'a;

impl Scheme {
    /// From `quantization_config`.
    pub fn parse(keys: &Keys) -> Result<Self, WeightsProblem> {
        let method = match keys.text(&["quant_method"])?.unwrap_or("none") {
            "awq" => awq(keys)?,
            "gptq" => gptq(keys)?,
            other => return Err(keys.wrong("quant_method", format!("{other:?}; supported are awq and gptq"))),
        };
        match keys.integer(&["bits", "w_bit"])? {
            Some(4) => {}
            bits => return Err(keys.wrong("bits", format!("{bits:?}; only 4 is supported"))),
        }
        let group = keys.integer(&["group_size", "q_group_size"])?;
        match GROUPS.into_iter().find(|size| group == Some(*size as i64)) {
            Some(group) => Ok(Self { method, group }),
            None => Err(keys.wrong("group_size", format!("{group:?}; supported are {GROUPS:?}"))),
        }
    }

    /// Whether the matrix `base` of dimensions `[outputs, inputs]` is whole; the dimensions of its words.
    pub fn check(
        &self,
        base: &str,
        dims: &[usize],
        find: &dyn Fn(&str) -> Option<Info>,
    ) -> Result<Info, WeightsProblem> {
        let [outputs, inputs] = *dims else {
            return Err(WeightsProblem::tensor(base, "only matrices can be of four bits"));
        };
        if !inputs.is_multiple_of(self.group) || !outputs.is_multiple_of(PER_WORD) {
            let problem = format!("[{outputs}, {inputs}] cannot be cut into groups of {}", self.group);
            return Err(WeightsProblem::tensor(base, problem));
        }
        let groups = inputs / self.group;
        let words = match self.method {
            Method::Awq => [inputs, outputs / PER_WORD],
            Method::Gptq { .. } => [inputs / PER_WORD, outputs],
        };
        let whole = |what: &str, dims: &[usize]| {
            let name = format!("{base}.{what}");
            let info = find(&name).ok_or_else(|| WeightsProblem::tensor(&name, "missing; the file is incomplete"))?;
            info.bytes(&name, dims).map(|_| info)
        };
        whole("qzeros", &[groups, outputs / PER_WORD])?;
        whole("scales", &[groups, outputs])?;
        whole("qweight", &words)
    }

    /// Reads a matrix that [`check`](Self::check) found to be whole.
    pub fn read(&self, base: &str, outputs: usize, inputs: usize, read: &Read) -> Result<Int4, WeightsProblem> {
        let words = |what: &str| match read(&format!("{base}.{what}"))? {
            (Kind::I32, bytes) => Ok(bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect()),
            _ => Err(WeightsProblem::tensor(&format!("{base}.{what}"), "expected I32")),
        };
        let (weights, zeros): (Vec<u32>, Vec<u32>) = (words("qweight")?, words("qzeros")?);
        let scales = match read(&format!("{base}.scales"))? {
            (Kind::Float(float), bytes) => float.widen(&bytes),
            _ => return Err(WeightsProblem::tensor(&format!("{base}.scales"), "expected F16, BF16 or F32")),
        };
        let (packed, order, offset) = match self.method {
            Method::Awq => (awq::pack(&weights, outputs, inputs), awq::ORDER, 0),
            Method::Gptq { offset } => {
                gptq::check_order(base, inputs, self.group, read)?;
                (gptq::pack(&weights, outputs, inputs), gptq::ORDER, offset)
            }
        };
        let nibble = |at: usize| (zeros[at / PER_WORD] >> (4 * order[at % PER_WORD]) & 15) as u8 + offset;
        let by_output =
            (0..outputs).flat_map(|output| (0..inputs / self.group).map(move |group| group * outputs + output));
        let scale = |at: usize| f16::from_f32(scales[at]);
        let (scales, zeros) = by_output.map(|at| (scale(at), nibble(at))).unzip();
        Ok(Int4 { group: self.group, packed, scales, zeros })
    }
}

fn awq(keys: &Keys) -> Result<Method, WeightsProblem> {
    let version = keys.text(&["version"])?.unwrap_or("gemm");
    if !version.eq_ignore_ascii_case("gemm") {
        return Err(keys.wrong("version", format!("{version:?}; only gemm is supported")));
    }
    match keys.flag("zero_point")? {
        Some(false) => Err(keys.wrong("zero_point", "only checkpoints with zero points are supported")),
        _ => Ok(Method::Awq),
    }
}

fn gptq(keys: &Keys) -> Result<Method, WeightsProblem> {
    if keys.flag("desc_act")? == Some(true) {
        return Err(keys.wrong("desc_act", "true; only checkpoints quantized in the inputs' order are supported"));
    }
    match keys.text(&["checkpoint_format"])?.unwrap_or("gptq") {
        "gptq" => Ok(Method::Gptq { offset: 1 }),
        "gptq_v2" => Ok(Method::Gptq { offset: 0 }),
        other => Err(keys.wrong("checkpoint_format", format!("{other:?}; supported are gptq and gptq_v2"))),
    }
}
