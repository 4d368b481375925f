//! Weights as floats of 32 or 16 bits.

use super::{
    super::isa::{Isa, LANES, half},
    input::{Packing, Tile},
    panels::Block,
};

/// A floating point format.
pub(super) trait Float: Copy + Send + Sync + 'static {
    type Bits: Copy + Send + Sync;
    const ZERO: Self::Bits;
    fn read(filed: &[u8]) -> Self::Bits;
    fn value(bits: Self::Bits) -> f32;
    fn load<I: Isa>(isa: I, from: &[Self::Bits; LANES]) -> I::Floats;
}

#[derive(Clone, Copy)]
pub(super) struct Single;

impl Float for Single {
    type Bits = f32;
    const ZERO: f32 = 0.0;

    fn read(filed: &[u8]) -> f32 {
        filed.first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
    }

    fn value(bits: f32) -> f32 {
        bits
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[f32; LANES]) -> I::Floats {
        isa.floats(from)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Half;

impl Float for Half {
    type Bits = u16;
    const ZERO: u16 = 0;

    fn read(filed: &[u8]) -> u16 {
        filed.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    fn value(bits: u16) -> f32 {
        half(bits)
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[u16; LANES]) -> I::Floats {
        isa.halves(from)
    }
}

/// bfloat16: the upper half of a 32-bit float.
#[derive(Clone, Copy)]
pub(super) struct Brain;

impl Float for Brain {
    type Bits = u16;
    const ZERO: u16 = 0;

    fn read(filed: &[u8]) -> u16 {
        Half::read(filed)
    }

    fn value(bits: u16) -> f32 {
        f32::from_bits(u32::from(bits) << 16)
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[u16; LANES]) -> I::Floats {
        isa.brains(from)
    }
}

const INPUTS: usize = 16;

/// 16 inputs of sixteen outputs, `[input][output]`.
#[repr(C, align(64))]
pub(super) struct Floats<F: Float>([[F::Bits; LANES]; INPUTS]);

impl<F: Float> Block for Floats<F> {
    const INPUTS: usize = INPUTS;
    const FILED: usize = INPUTS * size_of::<F::Bits>();
    const PACKING: Packing = Packing::Floats;

    fn zeros() -> Self {
        Self([[F::ZERO; LANES]; INPUTS])
    }

    fn fill(&mut self, lane: usize, filed: &[u8]) {
        let filed = filed.chunks_exact(size_of::<F::Bits>());
        self.0.iter_mut().zip(filed).for_each(|(weights, filed)| weights[lane] = F::read(filed));
    }

    fn weight(&self, lane: usize, input: usize) -> f32 {
        F::value(self.0[input][lane])
    }

    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize>(isa: I, panel: &[Self], tile: &Tile) -> [I::Floats; ROWS] {
        let mut sums = [isa.splat(0.0); ROWS];
        let inputs = tile.floats.as_chunks::<ROWS>().0.as_chunks::<INPUTS>().0;
        for (block, inputs) in panel.iter().zip(inputs) {
            for (weights, inputs) in block.0.iter().zip(inputs) {
                isa.prefetch(weights);
                let weights = F::load(isa, weights);
                for row in 0..ROWS {
                    sums[row] = isa.madd(weights, isa.splat(inputs[row]), sums[row]);
                }
            }
        }
        sums
    }
}
