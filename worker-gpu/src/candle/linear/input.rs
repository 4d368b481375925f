//! Rows of inputs as the kernels read them.
//!
//! Rows are put together in tiles of as many as a kernel computes at once (8, 4 or 1; missing rows are zeros). Within a
//! tile the rows' numbers for the same inputs stand side by side, so that a kernel walks through memory in one stream.

use super::super::{
    isa::{Isa, Job, Processor},
    team::Team,
};
use std::ops::Range;

/// Inputs of a step: what one 32-bit lane holds.
pub(super) const STEP: usize = 4;

/// How a kernel wants its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Signed bytes with one scale for each 256 inputs.
    Coarse,
    /// Signed bytes with one scale for each 32 inputs; widths are multiples of 64.
    Fine,
    /// Floats; widths are multiples of 16.
    Floats,
}

impl Packing {
    /// Inputs that share a scale.
    fn scaled(self) -> usize {
        match self {
            Self::Coarse => 256,
            Self::Fine => 32,
            Self::Floats => 16,
        }
    }

    /// Inputs whose sum is kept.
    fn part(self) -> usize {
        self.scaled().min(if self == Self::Fine { 32 } else { 16 })
    }

    /// What the kernels widen `inputs` to.
    pub fn width(self, inputs: usize) -> usize {
        match self {
            Self::Coarse => inputs.next_multiple_of(256),
            Self::Fine => inputs.next_multiple_of(64),
            Self::Floats => inputs.next_multiple_of(16),
        }
    }
}

/// Packed rows.
pub(super) struct Input {
    pub processor: Processor,
    tiles: Vec<Tile>,
}

/// Some rows.
pub(super) struct Tile {
    /// Which rows of the batch.
    pub rows: Range<usize>,
    /// How many rows the kernel computes: 8, 4 or 1.
    pub wide: usize,
    /// The inputs as floats, `[input][row]`.
    pub floats: Vec<f32>,
    /// Four inputs of a row as signed bytes, `[input / 4][row]`.
    pub quants: Vec<i32>,
    /// What a quant means, `[input / (256 or 32)][row]`.
    pub scales: Vec<f32>,
    /// What makes up for weights being stored as unsigned: -32 times the sum of the quants of 16 inputs (coarse) or -128
    /// times that of 32 inputs (fine), `[input / (16 or 32)][row]`.
    pub offsets: Vec<i32>,
    /// Sums of the quants of twice 32 inputs as 16-bit integers, `[input / 64][row]`; only if coarse.
    pub pairs: Vec<i32>,
}

impl Input {
    /// Packs `rows` rows of `inputs` floats, each of which `read` writes; on all threads of the team.
    pub fn pack(
        processor: Processor,
        packing: Packing,
        (rows, inputs): (usize, usize),
        team: &Team,
        read: &(impl Fn(usize, &mut [f32]) + Sync),
    ) -> Self {
        let mut tiles: Vec<Tile> = cut(rows, processor.rows()).map(|(rows, wide)| Tile::empty(rows, wide)).collect();
        team.each(tiles.iter_mut().collect(), |tile| {
            let mut floats = vec![0.0; packing.width(inputs)];
            tile.reserve(packing, floats.len());
            for row in 0..tile.rows.len() {
                read(tile.rows.start + row, &mut floats[..inputs]);
                processor.run(Pack { packing, row, floats: &floats, tile });
            }
        });
        Self { processor, tiles }
    }

    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }
}

/// Rows of each tile, and how many it has room for.
fn cut(rows: usize, most: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let wide = match rows - start {
            0 => return None,
            1 => 1,
            2..=4 => 4,
            _ => most,
        };
        let tile = start..rows.min(start + wide);
        start = tile.end;
        Some((tile, wide))
    })
}

impl Tile {
    fn empty(rows: Range<usize>, wide: usize) -> Self {
        let (floats, quants, scales, offsets, pairs) = Default::default();
        Self { rows, wide, floats, quants, scales, offsets, pairs }
    }

    fn reserve(&mut self, packing: Packing, width: usize) {
        let rows = self.wide;
        if packing == Packing::Floats {
            self.floats = vec![0.0; width * rows];
            return;
        }
        self.quants = vec![0; width / STEP * rows];
        self.scales = vec![0.0; width / packing.scaled() * rows];
        self.offsets = vec![0; width / packing.part() * rows];
        self.pairs = vec![0; if packing == Packing::Coarse { width / 64 * rows } else { 0 }];
    }
}

/// Puts one row into its tile.
struct Pack<'a> {
    packing: Packing,
    row: usize,
    floats: &'a [f32],
    tile: &'a mut Tile,
}

impl Job for Pack<'_> {
    #[inline(always)]
    fn run<I: Isa>(mut self, _: I) {
        match self.packing {
            Packing::Floats => {
                let to = self.tile.floats[self.row..].iter_mut().step_by(self.tile.wide);
                to.zip(self.floats).for_each(|(to, from)| *to = *from);
            }
            Packing::Coarse => {
                self.quantize::<256, 16>(-32);
                self.pair();
            }
            Packing::Fine => self.quantize::<32, 32>(-128),
        }
    }
}

impl Pack<'_> {
    #[inline(always)]
    fn quantize<const SCALED: usize, const PART: usize>(&mut self, bias: i32) {
        let (wide, row) = (self.tile.wide, self.row);
        for (number, floats) in self.floats.as_chunks::<SCALED>().0.iter().enumerate() {
            let (quants, scale) = quantized(floats);
            self.tile.scales[number * wide + row] = scale;
            let to = self.tile.quants[number * (SCALED / STEP) * wide + row..].iter_mut().step_by(wide);
            to.zip(quants.as_chunks::<STEP>().0).for_each(|(to, from)| *to = i32::from_le_bytes(*from));
            let to = self.tile.offsets[number * (SCALED / PART) * wide + row..].iter_mut().step_by(wide);
            for (to, part) in to.zip(quants.as_chunks::<PART>().0) {
                *to = bias * part.iter().map(|quant| i32::from(quant.cast_signed())).sum::<i32>();
            }
        }
    }

    #[inline(always)]
    fn pair(&mut self) {
        let (wide, row) = (self.tile.wide, self.row);
        let sum = |offset: i32| offset / -32;
        for pair in 0..self.floats.len() / 64 {
            let sums: [i32; 4] = std::array::from_fn(|part| sum(self.tile.offsets[(pair * 4 + part) * wide + row]));
            self.tile.pairs[pair * wide + row] = ((sums[0] + sums[1]) & 0xffff) | (sums[2] + sums[3]) << 16;
        }
    }
}

/// Integers from -127 to 127 as signed bytes, and the number that they are to be multiplied by.
#[inline(always)]
fn quantized<const N: usize>(floats: &[f32; N]) -> ([u8; N], f32) {
    // Adding 1.5 · 2^23 rounds to an integer, whose lowest byte is then the number's.
    const ROUND: f32 = 12_582_912.0;
    let mut lanes = [0.0f32; 16];
    for chunk in floats.as_chunks::<16>().0 {
        lanes.iter_mut().zip(chunk).for_each(|(lane, float)| *lane = lane.max(float.abs()));
    }
    let largest = lanes.iter().fold(0.0f32, |a, b| a.max(*b));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut quants = [0; N];
    quants.iter_mut().zip(floats).for_each(|(quant, float)| *quant = (float * inverse + ROUND).to_bits() as u8);
    (quants, largest / 127.0)
}
