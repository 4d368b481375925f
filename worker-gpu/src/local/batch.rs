//! The tokens of one step, packed: one row per token, whatever sequence it belongs to.

use crate::schedule::BlockId;

/// What one forward pass computes: decodes and chunks of prompts side by side.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    /// Token ids, one per row.
    pub tokens: Vec<u32>,
    /// The rows of each sequence, in order and without gaps.
    pub spans: Vec<Span<'a>>,
    /// Rows after which a token is to be chosen, ascending.
    pub wanted: Vec<Wanted>,
}

/// The rows of one sequence: row `i` is its token number `position + i`, whose key and value belong into block
/// `blocks[(position + i) / BLOCK]`.
pub(crate) struct Span<'a> {
    /// Where its keys and values are.
    pub blocks: &'a [BlockId],
    /// The first row's position in the sequence.
    pub position: usize,
    /// How many rows.
    pub len: usize,
}

/// A token to choose.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    /// After which row.
    pub row: u32,
    /// How a device may choose by itself; `None`: the logits must come back.
    pub draw: Option<Draw>,
}

/// All that choosing a token needs besides the logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Draw {
    /// 0: the greatest logit.
    pub temperature: f32,
    /// Only so many of the likeliest tokens; 0: all.
    pub top_k: u32,
    /// The smallest set whose probabilities sum to this.
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the likeliest; 0: all.
    pub min_p: f32,
    /// Where in the cumulated probabilities, in [0, 1).
    pub point: f64,
}

impl<'a> Batch<'a> {
    /// Appends a sequence's tokens, the first of which is at `position`.
    pub fn push(&mut self, blocks: &'a [BlockId], position: usize, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.spans.push(Span { blocks, position, len: tokens.len() });
    }

    /// Wants a token after the last row.
    pub fn want(&mut self, draw: Option<Draw>) {
        self.wanted.push(Wanted { row: self.tokens.len() as u32 - 1, draw });
    }

    /// Each row's blocks and position.
    pub fn rows(&self) -> impl Iterator<Item = (&'a [BlockId], usize)> {
        self.spans.iter().flat_map(|span| (0..span.len).map(move |at| (span.blocks, span.position + at)))
    }
}
