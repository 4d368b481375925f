//! Rows of inputs as the kernels read them.
//!
//! Rows are put together in tiles of as many as a kernel computes at once (8, 4 or 1; missing rows are zeros). Within a
//! tile the rows' numbers for the same inputs stand side by side, so that a kernel walks through memory in one stream.

use super::super::{
    isa::{Isa, Job, LANES, Processor},
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
            processor.run(Interleave(tile));
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

/// Puts one row into its tile, where rows follow one another at first.
struct Pack<'a> {
    packing: Packing,
    row: usize,
    floats: &'a [f32],
    tile: &'a mut Tile,
}

impl Job for Pack<'_> {
    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        match self.packing {
            Packing::Floats => {
                self.tile.floats[self.row * self.floats.len()..][..self.floats.len()].copy_from_slice(self.floats)
            }
            Packing::Coarse => {
                self.quantize::<I, 256, 16>(isa, -32);
                self.pair();
            }
            Packing::Fine => self.quantize::<I, 32, 32>(isa, -128),
        }
    }
}

impl Pack<'_> {
    #[inline(always)]
    fn quantize<I: Isa, const SCALED: usize, const PART: usize>(&mut self, isa: I, bias: i32) {
        let (width, row) = (self.floats.len(), self.row);
        let scales = &mut self.tile.scales[row * (width / SCALED)..];
        let steps = self.tile.quants[row * (width / STEP)..].chunks_exact_mut(SCALED / STEP);
        let offsets = self.tile.offsets[row * (width / PART)..].chunks_exact_mut(SCALED / PART);
        let to = scales.iter_mut().zip(steps).zip(offsets);
        for (floats, ((scale, steps), offsets)) in self.floats.as_chunks::<SCALED>().0.iter().zip(to) {
            let quants;
            (quants, *scale) = quantized(isa, floats);
            for (to, from) in steps.iter_mut().zip(quants.as_chunks::<STEP>().0) {
                *to = i32::from_le_bytes(from.map(i8::cast_unsigned));
            }
            for (to, from) in offsets.iter_mut().zip(quants.as_chunks::<PART>().0) {
                *to = bias * from.iter().map(|quant| i32::from(*quant)).sum::<i32>();
            }
        }
    }

    #[inline(always)]
    fn pair(&mut self) {
        let (width, row) = (self.floats.len(), self.row);
        let offsets = self.tile.offsets[row * (width / 16)..].as_chunks::<4>().0;
        for (pair, offsets) in self.tile.pairs[row * (width / 64)..][..width / 64].iter_mut().zip(offsets) {
            let sums = offsets.map(|offset| offset / -32);
            *pair = ((sums[0] + sums[1]) & 0xffff) | (sums[2] + sums[3]) << 16;
        }
    }
}

/// Puts the rows' numbers side by side.
struct Interleave<'a>(&'a mut Tile);

impl Job for Interleave<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        match self.0.wide {
            1 => {}
            4 => self.0.interleave::<4>(),
            _ => self.0.interleave::<8>(),
        }
    }
}

impl Tile {
    #[inline(always)]
    fn interleave<const ROWS: usize>(&mut self) {
        interleave::<f32, ROWS>(&mut self.floats);
        interleave::<i32, ROWS>(&mut self.quants);
        interleave::<f32, ROWS>(&mut self.scales);
        interleave::<i32, ROWS>(&mut self.offsets);
        interleave::<i32, ROWS>(&mut self.pairs);
    }
}

#[inline(always)]
fn interleave<T: Copy, const ROWS: usize>(numbers: &mut Vec<T>) {
    let mut to = numbers.clone();
    let columns = numbers.len() / ROWS;
    let rows: [&[T]; ROWS] = std::array::from_fn(|row| &numbers[row * columns..][..columns]);
    for (column, to) in to.as_chunks_mut::<ROWS>().0.iter_mut().enumerate().take(columns) {
        for row in 0..ROWS {
            to[row] = rows[row][column];
        }
    }
    *numbers = to;
}

/// Integers from -127 to 127, and the number that they are to be multiplied by.
#[inline(always)]
fn quantized<I: Isa, const N: usize>(isa: I, floats: &[f32; N]) -> ([i8; N], f32) {
    let mut largest = isa.splat(0.0);
    for floats in floats.as_chunks::<LANES>().0 {
        largest = isa.max_abs(largest, isa.floats(floats));
    }
    let largest = isa.array(largest).iter().fold(0.0, |a, b| if a > *b { a } else { *b });
    let inverse = isa.splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    let mut quants = [0; N];
    for (to, floats) in quants.as_chunks_mut::<LANES>().0.iter_mut().zip(floats.as_chunks::<LANES>().0) {
        *to = isa.rounded(isa.mul(isa.floats(floats), inverse));
    }
    (quants, largest / 127.0)
}
