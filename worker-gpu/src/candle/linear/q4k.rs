//! Q4_K: 4-bit weights; each 32 inputs have a scale and a minimum of 6 bits, each 256 two factors for these.
//!
//! `weight = factor * scale * quant - least * minimum`

use super::{
    super::isa::{Isa, LANES, half},
    input::{Packing, Tile},
    panels::Block,
};

/// 256 inputs of sixteen outputs.
#[repr(C, align(64))]
pub(super) struct Q4K {
    /// `[8 inputs][output]` of four bytes: inputs 0 to 3 in the low bits, 4 to 7 in the high ones.
    quants: [[u8; 64]; 32],
    /// `[32 inputs][output]`.
    scales: [[u8; LANES]; 8],
    /// `[64 inputs][output][32 inputs]`.
    minimums: [[u8; 2 * LANES]; 4],
    factor: [u16; LANES],
    least: [u16; LANES],
}

/// As in a file: the two factors, then six bits each of eight scales and eight minimums, then the quants.
const FILED: usize = 144;

impl Block for Q4K {
    const INPUTS: usize = 256;
    const FILED: usize = FILED;
    const PACKING: Packing = Packing::Coarse;

    fn zeros() -> Self {
        Self {
            quants: [[0; 64]; 32],
            scales: [[0; LANES]; 8],
            minimums: [[0; 2 * LANES]; 4],
            factor: [0; LANES],
            least: [0; LANES],
        }
    }

    fn fill(&mut self, lane: usize, filed: &[u8]) {
        let Some(filed) = filed.first_chunk::<FILED>() else { return };
        self.factor[lane] = u16::from_le_bytes([filed[0], filed[1]]);
        self.least[lane] = u16::from_le_bytes([filed[2], filed[3]]);
        for part in 0..8 {
            let (scale, minimum) = scale_and_minimum(&filed[4..16], part);
            self.scales[part][lane] = scale;
            self.minimums[part / 2][2 * lane + part % 2] = minimum;
        }
        for part in 0..8 {
            let bytes = &filed[16 + part / 2 * 32..][..32];
            let quant = |input: usize| bytes[input] >> (4 * (part % 2)) & 0x0f;
            for eight in 0..4 {
                for at in 0..4 {
                    let byte = quant(eight * 8 + at) | quant(eight * 8 + at + 4) << 4;
                    self.quants[part * 4 + eight][4 * lane + at] = byte;
                }
            }
        }
    }

    fn weight(&self, lane: usize, input: usize) -> f32 {
        let (part, byte) = (input / 32, self.quants[input / 8][4 * lane + input % 4]);
        let quant = if input % 8 < 4 { byte & 0x0f } else { byte >> 4 };
        let scale = half(self.factor[lane]) * f32::from(self.scales[part][lane]);
        let minimum = half(self.least[lane]) * f32::from(self.minimums[part / 2][2 * lane + part % 2]);
        scale * f32::from(quant) - minimum
    }

    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize>(isa: I, panel: &[Self], tile: &Tile) -> [I::Floats; ROWS] {
        let mut sums = [isa.splat(0.0); ROWS];
        let quants = tile.quants.as_chunks::<ROWS>().0.as_chunks::<64>().0;
        let pairs = tile.pairs.as_chunks::<ROWS>().0.as_chunks::<4>().0;
        let scales = tile.scales.as_chunks::<ROWS>().0;
        for (((block, quants), pairs), scales) in panel.iter().zip(quants).zip(pairs).zip(scales) {
            block.add(isa, quants, pairs, scales, &mut sums);
        }
        sums
    }
}

impl Q4K {
    #[inline(always)]
    fn add<I: Isa, const ROWS: usize>(
        &self,
        isa: I,
        quants: &[[i32; ROWS]; 64],
        pairs: &[[i32; ROWS]; 4],
        scales: &[f32; ROWS],
        sums: &mut [I::Floats; ROWS],
    ) {
        isa.prefetch(&self.scales);
        isa.prefetch(&self.minimums);
        isa.prefetch(&self.factor);
        let mut scaled = [isa.splat(0.0); ROWS];
        for ((weights, inputs), scale) in
            self.quants.as_chunks::<4>().0.iter().zip(quants.as_chunks::<8>().0).zip(&self.scales)
        {
            let mut dots = [isa.int(0); ROWS];
            for (bytes, inputs) in weights.iter().zip(inputs.as_chunks::<2>().0) {
                isa.prefetch(bytes);
                let bytes = isa.bytes(bytes);
                let (low, high) = (isa.low(bytes), isa.high(bytes));
                for row in 0..ROWS {
                    dots[row] = isa.dot(dots[row], low, inputs[0][row]);
                }
                for row in 0..ROWS {
                    dots[row] = isa.dot(dots[row], high, inputs[1][row]);
                }
            }
            let scale = isa.to_floats(isa.unsigned(scale));
            for row in 0..ROWS {
                scaled[row] = isa.madd(isa.to_floats(dots[row]), scale, scaled[row]);
            }
        }
        let mut minimums = [isa.int(0); ROWS];
        for (weights, inputs) in self.minimums.iter().zip(pairs) {
            let weights = isa.pairs(weights);
            for row in 0..ROWS {
                minimums[row] = isa.dot_pairs(minimums[row], weights, inputs[row]);
            }
        }
        let (factor, least) = (isa.halves(&self.factor), isa.halves(&self.least));
        for row in 0..ROWS {
            let product = isa.nmadd(least, isa.to_floats(minimums[row]), isa.mul(factor, scaled[row]));
            sums[row] = isa.madd(product, isa.splat(scales[row]), sums[row]);
        }
    }
}

fn scale_and_minimum(packed: &[u8], part: usize) -> (u8, u8) {
    if part < 4 {
        return (packed[part] & 63, packed[part + 4] & 63);
    }
    let (low, scale, minimum) = (packed[part + 4], packed[part - 4], packed[part]);
    (low & 0x0f | (scale >> 6) << 4, low >> 4 | (minimum >> 6) << 4)
}
