//! The tokens of one step, packed: one row per token, whatever sequence it belongs to.

use super::kv::BlockTable;

/// What one forward pass computes.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    /// Token ids, one per row.
    pub tokens: Vec<u32>,
    /// The rows of each sequence, in order and without gaps.
    pub spans: Vec<Span<'a>>,
    /// Rows whose logits are wanted.
    pub sampled: Vec<u32>,
}

/// The rows of one sequence.
pub(crate) struct Span<'a> {
    /// Where its keys and values are.
    pub table: &'a BlockTable,
    /// The first row's position in the sequence.
    pub position: usize,
    /// How many rows.
    pub len: usize,
}

impl<'a> Batch<'a> {
    /// Appends a sequence's tokens, the first of which is at `position`.
    pub fn push(&mut self, table: &'a BlockTable, position: usize, tokens: &[u32], samples: bool) {
        self.tokens.extend_from_slice(tokens);
        self.spans.push(Span { table, position, len: tokens.len() });
        if samples {
            self.sampled.push(self.tokens.len() as u32 - 1);
        }
    }

    /// Each row's sequence and position.
    pub fn rows(&self) -> impl Iterator<Item = (&'a BlockTable, usize)> {
        self.spans.iter().flat_map(|span| (0..span.len).map(move |at| (span.table, span.position + at)))
    }
}
