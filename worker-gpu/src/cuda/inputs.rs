//! What a step sends to the device: everything that changes from step to step, in one upload.

use super::{
    device::{DeviceError, Slice},
    kernels::{DRAW_WORDS, PREFILL_TILE, TILE_WORDS},
};
use crate::{
    local::{Batch, Draw, Span},
    schedule::{BLOCK, BlockId},
};

/// Words to which sections are aligned; kernels read 16 bytes at once.
const ALIGNED: usize = 4;
/// Kinds of sections.
const SECTIONS: usize = 9;

/// How many of each thing a step has; equal counts have equal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Tokens that are computed.
    pub rows: usize,
    /// Sequences that compute one token.
    pub decodes: usize,
    /// Pieces of prompts.
    pub tiles: usize,
    /// Sequences.
    pub sequences: usize,
    /// Rows after which a token is chosen.
    pub wanted: usize,
    /// Blocks of the longest sequence.
    pub stride: usize,
}

impl Counts {
    fn sections(&self) -> [usize; SECTIONS] {
        let Self { rows, decodes, tiles, sequences, wanted, stride } = *self;
        let (tables, draws) = (sequences * stride, wanted * DRAW_WORDS);
        [rows, rows, rows, decodes, decodes, tiles * TILE_WORDS, tables, wanted, draws]
    }

    /// 32-bit words of the upload.
    pub fn words(&self) -> usize {
        self.sections().iter().map(|len| len.next_multiple_of(ALIGNED)).sum()
    }

    /// The sections of an upload that lies at the beginning of `words`.
    pub fn places(&self, words: Slice<i32>) -> Result<Places, DeviceError> {
        let mut first = 0;
        let mut next = |len: usize| {
            let section = words.part(first, len);
            first += len.next_multiple_of(ALIGNED);
            section
        };
        let [tokens, positions, slots, decode_rows, contexts, tiles, tables, picked, draws] =
            self.sections().map(&mut next);
        Ok(Places {
            tokens: tokens?,
            positions: positions?,
            slots: slots?,
            decode_rows: decode_rows?,
            contexts: contexts?,
            tiles: tiles?,
            tables: tables?,
            picked: picked?,
            draws: draws?,
        })
    }
}

/// Where a step's inputs lie on the device.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub tokens: Slice<i32>,
    pub positions: Slice<i32>,
    pub slots: Slice<i32>,
    pub decode_rows: Slice<i32>,
    pub contexts: Slice<i32>,
    pub tiles: Slice<i32>,
    pub tables: Slice<i32>,
    pub picked: Slice<i32>,
    pub draws: Slice<i32>,
}

/// A step's inputs, as the kernels want them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Inputs {
    pub counts: Counts,
    tokens: Vec<i32>,
    positions: Vec<i32>,
    slots: Vec<i32>,
    decode_rows: Vec<i32>,
    contexts: Vec<i32>,
    tiles: Vec<i32>,
    tables: Vec<i32>,
    picked: Vec<i32>,
    draws: Vec<i32>,
}

impl Inputs {
    /// Of any batch; tables have room for `stride` blocks, or for the longest sequence's.
    pub fn new(batch: &Batch<'_>, stride: usize) -> Self {
        let stride = batch.spans.iter().map(used).max().unwrap_or(0).max(stride);
        let mut inputs = Self { counts: Counts { stride, ..Counts::default() }, ..Self::default() };
        inputs.tokens = batch.tokens.iter().map(|token| token.cast_signed()).collect();
        let mut row = 0;
        let mut chunks = Vec::new();
        for span in &batch.spans {
            inputs.place(span);
            match span.len {
                1 => inputs.decode(row, span),
                _ => chunks.push((row, span)),
            }
            row += span.len;
        }
        chunks.into_iter().for_each(|(row, span)| inputs.chunk(row, span));
        for wanted in &batch.wanted {
            inputs.picked.push(wanted.row.cast_signed());
            inputs.draws.extend(draw_words(wanted.draw.as_ref()));
        }
        inputs.count();
        inputs
    }

    /// Adds sequences of one token, which nobody wants and which live in `block`, until there are `decodes`.
    pub fn pad(&mut self, decodes: usize, block: BlockId) {
        while self.counts.decodes < decodes {
            let row = self.tokens.len();
            let span = Span { blocks: &[block], position: 0, len: 1 };
            self.tokens.push(0);
            self.place(&span);
            self.decode(row, &span);
            self.picked.push(int(row));
            self.draws.extend(draw_words(None));
            self.count();
        }
    }

    fn place(&mut self, span: &Span<'_>) {
        for position in span.position..span.position + span.len {
            self.positions.push(int(position));
            self.slots.push(int(span.blocks[position / BLOCK] as usize * BLOCK + position % BLOCK));
        }
    }

    fn decode(&mut self, row: usize, span: &Span<'_>) {
        self.decode_rows.push(int(row));
        self.contexts.push(int(span.position + 1));
        self.table(span);
    }

    fn chunk(&mut self, row: usize, span: &Span<'_>) {
        let sequence = self.tables.len() / self.counts.stride;
        for first in (0..span.len).step_by(PREFILL_TILE) {
            let count = PREFILL_TILE.min(span.len - first);
            self.tiles.extend([row + first, count, span.position + first, sequence].map(int));
        }
        self.table(span);
    }

    fn table(&mut self, span: &Span<'_>) {
        let end = self.tables.len() + self.counts.stride;
        self.tables.extend(span.blocks[..used(span)].iter().map(|block| block.cast_signed()));
        self.tables.resize(end, 0);
    }

    fn count(&mut self) {
        self.counts = Counts {
            rows: self.tokens.len(),
            decodes: self.decode_rows.len(),
            tiles: self.tiles.len() / TILE_WORDS,
            sequences: self.tables.len().checked_div(self.counts.stride).unwrap_or(0),
            wanted: self.picked.len(),
            stride: self.counts.stride,
        };
    }

    /// The upload.
    pub fn words(&self) -> Vec<i32> {
        let sections: [&[i32]; SECTIONS] = [
            &self.tokens,
            &self.positions,
            &self.slots,
            &self.decode_rows,
            &self.contexts,
            &self.tiles,
            &self.tables,
            &self.picked,
            &self.draws,
        ];
        let mut words = Vec::with_capacity(self.counts.words());
        for section in sections {
            words.extend_from_slice(section);
            words.resize(words.len().next_multiple_of(ALIGNED), 0);
        }
        words
    }
}

/// Blocks that a span's sequence uses.
fn used(span: &Span<'_>) -> usize {
    (span.position + span.len).div_ceil(BLOCK)
}

/// A draw as `Draw` in `kernels/sample.cu`; none is drawn like the greatest logit.
pub(crate) fn draw_words(draw: Option<&Draw>) -> [i32; DRAW_WORDS] {
    let greatest = Draw { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, point: 0.0 };
    let draw = draw.unwrap_or(&greatest);
    let (point, float) = (draw.point.to_bits(), |float: f32| float.to_bits().cast_signed());
    let (low, high) = (point as i32, (point >> 32) as i32);
    [low, high, float(draw.temperature), float(draw.top_p), float(draw.min_p), draw.top_k.cast_signed()]
}

/// Sizes are bounded by the batch, far below 2^31.
fn int(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
