//! Fills passages with pieces of the source, in order.

use super::Limits;
use crate::segment::Level;
use std::ops::Range;

/// No token is longer than this on average: bounds a passage of one endless "word", which may count as one token.
const MAX_BYTES_PER_TOKEN: usize = 12;

/// The smallest pieces a passage is made of, and their lengths.
struct Unit {
    span: Range<usize>,
    tokens: usize,
}

/// Collects the pieces of one section.
pub struct Packer<'a> {
    source: &'a str,
    limits: Limits<'a>,
    units: Vec<Unit>,
}

impl<'a> Packer<'a> {
    /// Packs pieces of `source`.
    pub fn new(source: &'a str, limits: Limits<'a>) -> Self {
        Self { source, limits, units: Vec::new() }
    }

    /// Adds the piece that follows the last one: as it is when `whole` and it fits, else cut by `levels`.
    pub fn add(&mut self, span: Range<usize>, levels: &[Level], whole: bool) {
        match levels.split_first() {
            Some((level, rest)) if !whole => {
                for piece in level.cut(self.source, span) {
                    self.add_or_cut(piece, rest);
                }
            }
            _ => self.add_or_cut(span, levels),
        }
    }

    fn add_or_cut(&mut self, span: Range<usize>, levels: &[Level]) {
        let text = self.source[span.clone()].trim();
        if text.is_empty() {
            return;
        }
        let tokens = self.size(text);
        if tokens <= self.limits.max_tokens {
            self.units.push(Unit { span, tokens });
        } else if levels.is_empty() {
            self.cut_hard(span);
        } else {
            self.add(span, levels, false);
        }
    }

    /// Cuts what has no better place to be cut, into the longest of halves that fit.
    fn cut_hard(&mut self, mut span: Range<usize>) {
        while !span.is_empty() {
            let mut end =
                self.border(span.start, span.end.min(span.start + self.limits.max_tokens * MAX_BYTES_PER_TOKEN));
            while self.size(&self.source[span.start..end]) > self.limits.max_tokens {
                let half = self.border(span.start, span.start + (end - span.start) / 2);
                if half == end {
                    break;
                }
                end = half;
            }
            self.units.push(Unit { tokens: self.size(&self.source[span.start..end]), span: span.start..end });
            span.start = end;
        }
    }

    /// The character border at or before `at`, but at least one character after `start`.
    fn border(&self, start: usize, at: usize) -> usize {
        let one = self.source[start..].chars().next().map_or(0, char::len_utf8);
        self.source.floor_char_boundary(at).max(start + one)
    }

    fn size(&self, text: &str) -> usize {
        (self.limits.count)(text).max(text.len().div_ceil(MAX_BYTES_PER_TOKEN))
    }

    /// The passages.
    pub fn finish(self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut new = 0; // the first unit that is in no passage yet
        while new < self.units.len() {
            let range = self.fill(new);
            new = range.end;
            texts.push(self.text(range).to_owned());
        }
        texts
    }

    /// The units of the passage that takes `new` and as many after it as fit, after as much overlap as fits.
    fn fill(&self, new: usize) -> Range<usize> {
        let max = self.limits.max_tokens;
        let mut first = self.overlap(new);
        let mut end = new + 1;
        let mut total: usize = self.units[first..end].iter().map(|unit| unit.tokens).sum();
        while first < new && total > max {
            total -= self.units[first].tokens;
            first += 1;
        }
        while let Some(unit) = self.units.get(end).filter(|unit| total + unit.tokens <= max) {
            total += unit.tokens;
            end += 1;
        }
        // Tokens of the parts need not add up to the tokens of the whole.
        while self.size(self.text(first..end)) > max && end - first > 1 {
            if end > new + 1 { end -= 1 } else { first += 1 }
        }
        first..end
    }

    /// The first of the last units before `new` that together are no longer than the overlap.
    fn overlap(&self, new: usize) -> usize {
        let mut left = self.limits.overlap_tokens;
        let before = self.units[..new].iter().rev();
        new - before.take_while(|unit| left.checked_sub(unit.tokens).map(|rest| left = rest).is_some()).count()
    }

    fn text(&self, units: Range<usize>) -> &'a str {
        let span = self.units[units.start].span.start..self.units[units.end - 1].span.end;
        self.source[span].trim()
    }
}
