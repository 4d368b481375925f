//! 4-bit weights in the order in which tensor cores want them; see `kernels/w4a16.cu`.

use half::f16;
use rayon::prelude::*;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Columns of a tile.
pub(crate) const COLUMNS: usize = 64;
/// 32-bit words of a tile.
const WORDS: usize = ROWS * COLUMNS / 8;

/// A matrix whose element is `(q - 8) * scale + bias`, with a scale and a bias per `group` columns of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grouped {
    pub outputs: usize,
    pub inputs: usize,
    pub group: usize,
    /// q from 0 to 15, `[outputs][inputs]`.
    pub quants: Vec<u8>,
    /// `[outputs][inputs / group]` of (scale, bias).
    pub scales: Vec<(f32, f32)>,
}

impl Grouped {
    /// Whether the kernels can compute with a matrix of this form.
    pub fn fits(outputs: usize, inputs: usize, group: usize) -> bool {
        let grouped = group == 32 || (group > 0 && group.is_multiple_of(COLUMNS));
        outputs.is_multiple_of(ROWS) && inputs.is_multiple_of(COLUMNS) && grouped && inputs.is_multiple_of(group)
    }

    /// Whether any bias differs from zero.
    pub fn biased(&self) -> bool {
        self.scales.iter().any(|(_, bias)| *bias != 0.0)
    }

    /// The quants as tiles `[outputs / 16][inputs / 64][32 lanes][4 words]`.
    pub fn words(&self) -> Vec<u32> {
        let tiles = self.inputs / COLUMNS;
        let mut words = vec![0; self.outputs * self.inputs / 8];
        words.par_chunks_exact_mut(WORDS).enumerate().for_each(|(number, tile)| {
            let first = number / tiles * ROWS * self.inputs + number % tiles * COLUMNS;
            for (at, word) in tile.iter_mut().enumerate() {
                *word = self.word(first, at / 4, at % 4);
            }
        });
        words
    }

    /// Word `step` of `lane`, in the tile that begins at quant `first`.
    fn word(&self, first: usize, lane: usize, step: usize) -> u32 {
        (0..4).fold(0, |word, pair| {
            let row = lane / 4 + pair % 2 * 8;
            let column = step / 2 * 32 + lane % 4 * 8 + step % 2 * 4 + pair / 2 * 2;
            let at = first + row * self.inputs + column;
            word | u32::from(self.quants[at]) << (4 * pair) | u32::from(self.quants[at + 1]) << (16 + 4 * pair)
        })
    }

    /// Scales and biases as pairs of f16, `[inputs / group][outputs]`.
    pub fn pairs(&self) -> Vec<u32> {
        let groups = self.inputs / self.group;
        let half = |value: f32| u32::from(f16::from_f32(value).to_bits());
        let pair = |(scale, bias): (f32, f32)| half(scale) | half(bias) << 16;
        (0..groups * self.outputs).map(|at| pair(self.scales[at % self.outputs * groups + at / self.outputs])).collect()
    }
}
