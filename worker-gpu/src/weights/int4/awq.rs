//! AWQ in the order of its "gemm" kernel: eight outputs of one input per word.

use super::PER_WORD;
use rayon::prelude::*;

/// In which four bits of a word each of its eight outputs is.
pub(super) const ORDER: [usize; PER_WORD] = [0, 4, 1, 5, 2, 6, 3, 7];

/// From `[inputs][outputs / 8]` words to `[outputs][inputs / 2]` bytes.
pub(super) fn pack(words: &[u32], outputs: usize, inputs: usize) -> Vec<u8> {
    let mut packed = vec![0; outputs * inputs / 2];
    let width = outputs / PER_WORD;
    packed.par_chunks_mut(PER_WORD * inputs / 2).enumerate().for_each(|(column, rows)| {
        for input in 0..inputs {
            let word = words[input * width + column];
            for (row, place) in rows.chunks_exact_mut(inputs / 2).zip(ORDER) {
                row[input / 2] |= ((word >> (4 * place) & 15) as u8) << (4 * (input % 2));
            }
        }
    });
    packed
}
