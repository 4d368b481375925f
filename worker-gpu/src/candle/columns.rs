//! Columns of a matrix that one task may write while others write the rest.
#![expect(unsafe_code, reason = "slices cannot say that columns of a row-major matrix are disjoint")]

use std::marker::PhantomData;

/// Some columns of a row-major matrix, borrowed for writing.
pub(crate) struct Columns<'a> {
    /// The first row's first element.
    start: *mut f32,
    rows: usize,
    width: usize,
    /// From one row to the next.
    stride: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: nothing else reaches these elements while they are borrowed, so it is as good as `&mut [f32]`.
unsafe impl Send for Columns<'_> {}

impl<'a> Columns<'a> {
    /// Cuts a matrix of rows of `stride` elements into pieces of `width` columns; the last may have fewer.
    pub fn split(matrix: &'a mut [f32], stride: usize, width: usize) -> impl Iterator<Item = Self> {
        let (start, rows) = (matrix.as_mut_ptr(), matrix.len().checked_div(stride).unwrap_or(0));
        (0..stride).step_by(width).map(move |column| Self {
            // SAFETY: the column lies in the first row; without rows nothing is ever read through it.
            start: if rows == 0 { start } else { unsafe { start.add(column) } },
            rows,
            width: width.min(stride - column),
            stride,
            borrowed: PhantomData,
        })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The columns' elements in one row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the elements lie in the matrix, are borrowed for 'a, and no other piece has these columns; `self` is
        // borrowed for as long as the result lives.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width) }
    }
}
