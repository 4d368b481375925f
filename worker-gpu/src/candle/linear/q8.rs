//! Q8_0: 8-bit weights; each 32 inputs have a factor.
//!
//! `weight = factor * quant`

use super::{
    super::isa::{Isa, LANES, half},
    input::{Packing, Tile},
    panels::Block,
};

/// 64 inputs of sixteen outputs.
#[repr(C, align(64))]
pub(super) struct Q8 {
    /// Plus 128, `[4 inputs][output]` of four bytes.
    quants: [[u8; 64]; 16],
    /// `[32 inputs][output]`.
    factors: [[u16; LANES]; 2],
}

/// As in a file: twice a factor and 32 quants. A row may end after the first.
const FILED: usize = 68;

impl Block for Q8 {
    const INPUTS: usize = 64;
    const FILED: usize = FILED;
    const PACKING: Packing = Packing::Fine;

    fn zeros() -> Self {
        Self { quants: [[128; 64]; 16], factors: [[0; LANES]; 2] }
    }

    fn fill(&mut self, lane: usize, filed: &[u8]) {
        for (part, filed) in filed.chunks_exact(34).enumerate() {
            self.factors[part][lane] = u16::from_le_bytes([filed[0], filed[1]]);
            for (input, quant) in filed[2..].iter().enumerate() {
                self.quants[part * 8 + input / 4][4 * lane + input % 4] = quant ^ 0x80;
            }
        }
    }

    fn weight(&self, lane: usize, input: usize) -> f32 {
        let quant = self.quants[input / 4][4 * lane + input % 4] ^ 0x80;
        half(self.factors[input / 32][lane]) * f32::from(quant.cast_signed())
    }

    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize>(isa: I, panel: &[Self], tile: &Tile) -> [I::Floats; ROWS] {
        let mut sums = [isa.splat(0.0); ROWS];
        let quants = tile.quants.as_chunks::<ROWS>().0.as_chunks::<16>().0;
        let offsets = tile.offsets.as_chunks::<ROWS>().0.as_chunks::<2>().0;
        let scales = tile.scales.as_chunks::<ROWS>().0.as_chunks::<2>().0;
        for (((block, quants), offsets), scales) in panel.iter().zip(quants).zip(offsets).zip(scales) {
            block.add(isa, quants, offsets, scales, &mut sums);
        }
        sums
    }
}

impl Q8 {
    #[inline(always)]
    fn add<I: Isa, const ROWS: usize>(
        &self,
        isa: I,
        quants: &[[i32; ROWS]; 16],
        offsets: &[[i32; ROWS]; 2],
        scales: &[[f32; ROWS]; 2],
        sums: &mut [I::Floats; ROWS],
    ) {
        isa.prefetch(&self.factors);
        let weights = self.quants.as_chunks::<8>().0.iter().zip(&self.factors);
        let inputs = quants.as_chunks::<8>().0.iter().zip(offsets).zip(scales);
        for ((weights, factors), ((inputs, offsets), scales)) in weights.zip(inputs) {
            let mut dots = [isa.int(0); ROWS];
            for row in 0..ROWS {
                dots[row] = isa.int(offsets[row]);
            }
            for (bytes, inputs) in weights.iter().zip(inputs) {
                isa.prefetch(bytes);
                let bytes = isa.bytes(bytes);
                for row in 0..ROWS {
                    dots[row] = isa.dot_wide(dots[row], bytes, inputs[row]);
                }
            }
            let factors = isa.halves(factors);
            for row in 0..ROWS {
                let product = isa.mul(isa.to_floats(dots[row]), factors);
                sums[row] = isa.madd(product, isa.splat(scales[row]), sums[row]);
            }
        }
    }
}
