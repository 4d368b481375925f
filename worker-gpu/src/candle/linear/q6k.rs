//! Q6_K: 6-bit weights; each 16 inputs have a signed scale of 8 bits, each 256 a factor for these.
//!
//! `weight = factor * scale * (quant - 32)`

use super::{
    super::isa::{Isa, LANES, half},
    input::{Packing, Tile},
    panels::Block,
};

/// 256 inputs of sixteen outputs.
#[repr(C, align(64))]
pub(super) struct Q6K {
    /// Bits 0 to 3, `[8 inputs][output]` of four bytes: inputs 0 to 3 in the low bits, 4 to 7 in the high ones.
    low: [[u8; 64]; 32],
    /// Bits 4 and 5, `[16 inputs][output]` of four bytes: inputs 0 to 3 in the lowest two bits, and so on.
    high: [[u8; 64]; 16],
    /// `[16 inputs][output]`.
    scales: [[i8; LANES]; 16],
    factor: [f32; LANES],
}

/// As in a file: bits 0 to 3, bits 4 and 5, scales, factor.
const FILED: usize = 210;

impl Block for Q6K {
    const INPUTS: usize = 256;
    const FILED: usize = FILED;
    const PACKING: Packing = Packing::Coarse;

    fn zeros() -> Self {
        Self { low: [[0; 64]; 32], high: [[0; 64]; 16], scales: [[0; LANES]; 16], factor: [0.0; LANES] }
    }

    fn fill(&mut self, lane: usize, filed: &[u8]) {
        let Some(filed) = filed.first_chunk::<FILED>() else { return };
        self.factor[lane] = half(u16::from_le_bytes([filed[208], filed[209]]));
        for (scales, from) in self.scales.iter_mut().zip(&filed[192..208]) {
            scales[lane] = from.cast_signed();
        }
        for sixteen in 0..16 {
            for input in 0..16 {
                let quant = filed_quant(filed, sixteen * 16 + input);
                let (byte, quarter) = (4 * lane + input % 4, input / 4);
                self.low[sixteen * 2 + input / 8][byte] |= (quant & 0x0f) << (4 * (quarter % 2));
                self.high[sixteen][byte] |= (quant >> 4) << (2 * quarter);
            }
        }
    }

    fn weight(&self, lane: usize, input: usize) -> f32 {
        let (byte, quarter) = (4 * lane + input % 4, input % 16 / 4);
        let low = self.low[input / 8][byte] >> (4 * (quarter % 2)) & 0x0f;
        let high = self.high[input / 16][byte] >> (2 * quarter) & 3;
        let quant = f32::from(low | high << 4) - 32.0;
        self.factor[lane] * f32::from(self.scales[input / 16][lane]) * quant
    }

    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize>(isa: I, panel: &[Self], tile: &Tile) -> [I::Floats; ROWS] {
        let mut sums = [isa.splat(0.0); ROWS];
        let quants = tile.quants.as_chunks::<ROWS>().0.as_chunks::<64>().0;
        let offsets = tile.offsets.as_chunks::<ROWS>().0.as_chunks::<16>().0;
        let scales = tile.scales.as_chunks::<ROWS>().0;
        for (((block, quants), offsets), scales) in panel.iter().zip(quants).zip(offsets).zip(scales) {
            block.add(isa, quants, offsets, scales, &mut sums);
        }
        sums
    }
}

impl Q6K {
    #[inline(always)]
    fn add<I: Isa, const ROWS: usize>(
        &self,
        isa: I,
        quants: &[[i32; ROWS]; 64],
        offsets: &[[i32; ROWS]; 16],
        scales: &[f32; ROWS],
        sums: &mut [I::Floats; ROWS],
    ) {
        isa.prefetch(&self.scales);
        isa.prefetch(&self.factor);
        let mut scaled = [isa.splat(0.0); ROWS];
        let weights = self.low.as_chunks::<2>().0.iter().zip(&self.high).zip(&self.scales);
        let inputs = quants.as_chunks::<4>().0.iter().zip(offsets);
        for (((low, high), scale), (inputs, offsets)) in weights.zip(inputs) {
            isa.prefetch(low);
            isa.prefetch(high);
            let mut dots = [isa.int(0); ROWS];
            for row in 0..ROWS {
                dots[row] = isa.int(offsets[row]);
            }
            let (first, second, high) = (isa.bytes(&low[0]), isa.bytes(&low[1]), isa.bytes(high));
            let steps = [
                isa.six_bits::<0>(isa.low(first), high),
                isa.six_bits::<1>(isa.high(first), high),
                isa.six_bits::<2>(isa.low(second), high),
                isa.six_bits::<3>(isa.high(second), high),
            ];
            for step in 0..4 {
                for row in 0..ROWS {
                    dots[row] = isa.dot(dots[row], steps[step], inputs[step][row]);
                }
            }
            let scale = isa.to_floats(isa.signed(scale));
            for row in 0..ROWS {
                scaled[row] = isa.madd(isa.to_floats(dots[row]), scale, scaled[row]);
            }
        }
        let factor = isa.floats(&self.factor);
        for row in 0..ROWS {
            sums[row] = isa.madd(isa.mul(factor, scaled[row]), isa.splat(scales[row]), sums[row]);
        }
    }
}

/// A quant as it lies in a file: halves of 128 inputs, in which neighbours' bits lie 32 inputs apart.
fn filed_quant(filed: &[u8; FILED], input: usize) -> u8 {
    let (half, quarter, at) = (input / 128, input % 128 / 32, input % 32);
    let low = filed[half * 64 + quarter % 2 * 32 + at] >> (4 * (quarter / 2)) & 0x0f;
    let high = filed[128 + half * 32 + at] >> (2 * quarter) & 3;
    low | high << 4
}
