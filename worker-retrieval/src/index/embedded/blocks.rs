//! Vectors without their zeros: an embedder that joins two models leaves whole stretches of them.

/// Stretches of a vector of some length; a mask's bit i stands for stretch i.
#[derive(Debug, Clone, Copy)]
pub struct Blocks {
    dimensions: usize,
    size: usize,
}

/// Most stretches of a vector: the bits of a mask.
const MOST: usize = 64;
/// Shortest stretch.
const LEAST: usize = 128;

impl Blocks {
    /// Those of vectors with so many dimensions.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, size: dimensions.div_ceil(MOST).next_multiple_of(LEAST).max(LEAST) }
    }

    /// Which stretches of `vector` hold anything.
    pub fn mask(self, vector: &[f32]) -> u64 {
        let holds = |block: &[f32]| block.iter().any(|x| *x != 0.0);
        vector.chunks(self.size).enumerate().fold(0, |mask, (at, block)| mask | u64::from(holds(block)) << at)
    }

    /// Sum of the lengths of the stretches in `mask`.
    pub fn len(self, mask: u64) -> usize {
        self.of(mask).map(|(start, end)| end - start).sum()
    }

    /// `vector`, only those stretches.
    pub fn pack(self, mask: u64, vector: &[f32]) -> impl Iterator<Item = f32> + '_ {
        self.of(mask).flat_map(move |(start, end)| vector.get(start..end).unwrap_or_default().iter().copied())
    }

    /// Where the stretches of `common` lie in vectors packed by `mask`: (start, end), adjacent ones joined.
    pub fn ranges(self, mask: u64, common: u64) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        for block in 0..MOST {
            let next = at + self.len(mask & (1 << block));
            if next > at && common & (1 << block) != 0 {
                match ranges.last_mut() {
                    Some(last) if last.1 == at => last.1 = next,
                    _ => ranges.push((at, next)),
                }
            }
            at = next;
        }
        ranges
    }

    /// Start and end of each stretch in `mask`.
    fn of(self, mask: u64) -> impl Iterator<Item = (usize, usize)> {
        let blocks = (0..MOST).filter(move |block| mask & (1 << block) != 0);
        blocks
            .map(move |block| (block * self.size, ((block + 1) * self.size).min(self.dimensions)))
            .filter(|(start, end)| start < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out_and_what_is_common_is_found() {
        let blocks = Blocks::new(896);
        let mut vector = vec![0.0f32; 896];
        (vector[5], vector[520], vector[895]) = (1.0, 2.0, 3.0);
        let mask = blocks.mask(&vector);
        assert_eq!((mask, blocks.len(mask)), (0b101_0001, 384));
        let packed: Vec<f32> = blocks.pack(mask, &vector).collect();
        assert_eq!((packed[5], packed[136], packed[383]), (1.0, 2.0, 3.0));
        assert_eq!(blocks.ranges(mask, 0b101_0000), [(128, 384)]);
        assert_eq!(blocks.ranges(mask, 0b000_1110), []);
        let odd = Blocks::new(10_000);
        assert_eq!((odd.len(u64::MAX), odd.len(odd.mask(&vec![1.0; 10_000]))), (10_000, 10_000));
    }
}
