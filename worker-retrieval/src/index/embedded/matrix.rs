//! All vectors of a tenant in memory, one byte per component, and the scan that finds those close to a query.
//!
//! A component is off by at most 1/254 of the vector's largest, which moves a cosine by about 0.001: the best are then
//! compared exactly, with what the log holds.

use super::blocks::Blocks;
use pulp::{Arch, Simd, WithSimd};

/// Vectors that lie in one piece; memory grows by pieces, so that nothing is copied.
const PIECE: usize = 1024;

/// Vectors by which of their stretches are not zero.
#[derive(Debug)]
pub struct Matrix {
    blocks: Blocks,
    groups: Vec<Group>,
}

/// Vectors with the same mask.
#[derive(Debug)]
struct Group {
    mask: u64,
    /// Bytes of one.
    width: usize,
    pieces: Vec<Vec<i8>>,
    /// What each vector's bytes are to be multiplied with.
    scales: Vec<f32>,
    /// Each vector's row, ascending.
    rows: Vec<u32>,
}

impl Matrix {
    /// Without vectors.
    pub fn new(blocks: Blocks) -> Self {
        Self { blocks, groups: Vec::new() }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.rows.len()).sum()
    }

    /// Adds a vector of `row`, which is not below any before.
    pub fn push(&mut self, row: u32, mask: u64, values: impl Iterator<Item = f32> + Clone) {
        let at = self.groups.iter().position(|group| group.mask == mask).unwrap_or_else(|| {
            let width = self.blocks.len(mask);
            self.groups.push(Group { mask, width, pieces: Vec::new(), scales: Vec::new(), rows: Vec::new() });
            self.groups.len() - 1
        });
        self.groups[at].push(row, values);
    }

    /// Drops the vectors of rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        for group in &mut self.groups {
            let kept = group.rows.partition_point(|row| (*row as usize) < rows);
            group.rows.truncate(kept);
            group.scales.truncate(kept);
            group.pieces.truncate(kept.div_ceil(PIECE));
            if let Some(last) = group.pieces.last_mut() {
                last.truncate((kept - (kept - 1) / PIECE * PIECE) * group.width);
            }
        }
    }

    /// Calls `offer` with about the cosine, and the row, of every vector that has a stretch in common with `query`.
    pub fn scan(&self, query: &[f32], mut offer: impl FnMut(f32, u32)) {
        let wanted = self.blocks.mask(query);
        let mut cosines = [0.0; PIECE];
        for group in self.groups.iter().filter(|group| group.mask & wanted != 0) {
            let packed: Vec<f32> = self.blocks.pack(group.mask, query).collect();
            let (scale, query) = quantized(packed.iter().copied());
            let query: Vec<i16> = query.map(i16::from).collect();
            let ranges = self.blocks.ranges(group.mask, wanted);
            let slots = group.scales.chunks(PIECE).zip(group.rows.chunks(PIECE));
            for (piece, (scales, rows)) in group.pieces.iter().zip(slots) {
                let cosines = &mut cosines[..rows.len()];
                let dots = Dots { piece, width: group.width, ranges: &ranges, query: &query, dots: cosines };
                Arch::new().dispatch(dots);
                for ((dot, own), row) in cosines.iter().zip(scales).zip(rows) {
                    offer(dot * own * scale, *row);
                }
            }
        }
    }
}

impl Group {
    fn push(&mut self, row: u32, values: impl Iterator<Item = f32> + Clone) {
        if self.rows.len().is_multiple_of(PIECE) {
            // The first piece grows, for most tenants are small.
            let room = if self.pieces.is_empty() { 0 } else { PIECE * self.width };
            self.pieces.push(Vec::with_capacity(room));
        }
        let (scale, bytes) = quantized(values);
        if let Some(piece) = self.pieces.last_mut() {
            piece.extend(bytes);
        }
        self.scales.push(scale);
        self.rows.push(row);
    }
}

/// A scale, and bytes that are `values` when multiplied with it.
fn quantized(values: impl Iterator<Item = f32> + Clone) -> (f32, impl Iterator<Item = i8>) {
    let most = values.clone().fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
    (most / 127.0, values.map(move |x| (x / most * 127.0).round() as i8))
}

/// The dot products of a piece's vectors with a query, compiled for the widest registers that the machine has.
struct Dots<'a> {
    piece: &'a [i8],
    width: usize,
    ranges: &'a [(usize, usize)],
    query: &'a [i16],
    dots: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (vector, out) in self.piece.chunks_exact(self.width).zip(self.dots) {
            let mut sum = 0;
            for &(start, end) in self.ranges {
                sum += dot(&vector[start..end], &self.query[start..end]);
            }
            *out = sum as f32;
        }
    }
}

/// A loop and no chain of adapters: those are compiled as functions of their own, for registers that every machine has.
#[inline(always)]
fn dot(bytes: &[i8], query: &[i16]) -> i32 {
    let mut sum = 0;
    for (x, y) in bytes.iter().zip(query) {
        sum += i32::from(*x) * i32::from(*y);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit vector, zero outside of `stretch`.
    fn vector(seed: usize, stretch: std::ops::Range<usize>) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..640).map(|n| ((n * 31 + seed * 977) % 199) as f32 - 99.0).collect();
        vector.iter_mut().enumerate().for_each(|(at, x)| *x = if stretch.contains(&at) { *x } else { 0.0 });
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter().map(|x| x / length).collect()
    }

    #[test]
    fn cosines_are_nearly_exact_and_truncation_forgets() {
        let blocks = Blocks::new(640);
        let mut matrix = Matrix::new(blocks);
        let vectors: Vec<_> = (0..2500).map(|n| vector(n, [0..640, 0..256, 256..640][n % 3].clone())).collect();
        for (row, vector) in vectors.iter().enumerate() {
            let mask = blocks.mask(vector);
            matrix.push(row as u32, mask, blocks.pack(mask, vector).collect::<Vec<_>>().into_iter());
        }
        let query = vector(7, 0..256);
        let seen = |matrix: &Matrix| {
            let mut rows = Vec::new();
            matrix.scan(&query, |cosine, row| {
                let exact: f32 = vectors[row as usize].iter().zip(&query).map(|(x, y)| x * y).sum();
                assert!((cosine - exact).abs() < 0.005, "{cosine} {exact}");
                rows.push(row);
            });
            rows.sort_unstable();
            rows
        };
        assert_eq!(seen(&matrix), (0..2500).filter(|row| row % 3 != 2).collect::<Vec<_>>());
        matrix.truncate(10);
        assert_eq!(seen(&matrix), [0, 1, 3, 4, 6, 7, 9]);
        matrix.push(10, blocks.mask(&vectors[10]), blocks.pack(0b11, &vectors[10]).collect::<Vec<_>>().into_iter());
        assert_eq!((seen(&matrix), matrix.len()), (vec![0, 1, 3, 4, 6, 7, 9, 10], 11));
        matrix.truncate(0);
        assert_eq!((seen(&matrix), matrix.len()), (vec![], 0));
    }
}
