//! GPTQ: eight inputs of one output per word.

use super::{PER_WORD, Read};
use crate::weights::WeightsProblem;
use rayon::prelude::*;

/// In which four bits of a word each of its eight outputs' zeros is.
pub(super) const ORDER: [usize; PER_WORD] = [0, 1, 2, 3, 4, 5, 6, 7];

/// From `[inputs / 8][outputs]` words to `[outputs][inputs / 2]` bytes.
pub(super) fn pack(words: &[u32], outputs: usize, inputs: usize) -> Vec<u8> {
    let mut packed = vec![0; outputs * inputs / 2];
    packed.par_chunks_mut(inputs / 2).enumerate().for_each(|(output, row)| {
        for (eight, at) in row.as_chunks_mut().0.iter_mut().zip((output..).step_by(outputs)) {
            *eight = words[at].to_le_bytes();
        }
    });
    packed
}

/// Whether each input belongs to the group of its place. Some checkpoints that claim so do not keep it.
pub(super) fn check_order(base: &str, inputs: usize, group: usize, read: &Read) -> Result<(), WeightsProblem> {
    let name = format!("{base}.g_idx");
    let Ok((_, bytes)) = read(&name) else { return Ok(()) };
    let groups = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word) as usize);
    match groups.eq((0..inputs).map(|input| input / group)) {
        true => Ok(()),
        false => Err(WeightsProblem::tensor(&name, "the inputs are not in order (desc_act), which is not supported")),
    }
}
