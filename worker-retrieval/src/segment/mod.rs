//! Where text may be cut. Every function returns cut positions: byte offsets, ascending, at character borders.

pub mod markdown;
pub mod sentence;

use std::ops::Range;

/// Places to cut, from the best to the last resort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// After a sentence.
    Sentence,
    /// After a line.
    Line,
    /// After a comma, colon or the like.
    Clause,
    /// After a space.
    Word,
}

impl Level {
    /// What to try on prose.
    pub const PROSE: &[Level] = &[Level::Sentence, Level::Line, Level::Clause, Level::Word];
    /// What to try on lists, tables and code, where a line means more than a sentence.
    pub const LINES: &[Level] = &[Level::Line, Level::Sentence, Level::Clause, Level::Word];

    /// Cuts `source[span]` into contiguous pieces that cover it.
    pub fn cut(self, source: &str, span: Range<usize>) -> Vec<Range<usize>> {
        let text = &source[span.clone()];
        let cuts = match self {
            Level::Sentence => sentence::ends(text),
            Level::Line => after(text, |c| c == '\n'),
            Level::Clause => after(text, |c| matches!(c, '，' | '、' | '：' | ',' | ':' | ';')),
            Level::Word => after(text, char::is_whitespace),
        };
        pieces(span, &cuts)
    }
}

/// The ends of the paragraphs of plain text: blank lines part them.
pub fn paragraphs(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut at, mut blank) = (0, false);
    for line in text.split_inclusive('\n') {
        let empty = line.trim().is_empty();
        if blank && !empty {
            ends.push(at);
        }
        at += line.len();
        blank = empty;
    }
    ends
}

/// `span` cut at `cuts`, which count from its start.
pub fn pieces(span: Range<usize>, cuts: &[usize]) -> Vec<Range<usize>> {
    let borders: Vec<_> =
        cuts.iter().map(|cut| span.start + cut).filter(|&at| span.start < at && at < span.end).collect();
    let starts = std::iter::once(span.start).chain(borders.iter().copied());
    let ends = borders.iter().copied().chain(std::iter::once(span.end));
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

/// Whether `c` is a Chinese character (as also used in Japanese).
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Whether `c` is a Chinese character or a mark that is written among them, so that no space belongs beside it.
pub fn is_wide(c: char) -> bool {
    is_han(c) || matches!(c, '\u{3000}'..='\u{30ff}' | '\u{ff01}'..='\u{ff60}' | '‘' | '’' | '“' | '”' | '…' | '—')
}

fn after(text: &str, is_border: impl Fn(char) -> bool) -> Vec<usize> {
    text.char_indices().filter(|(_, c)| is_border(*c)).map(|(at, c)| at + c.len_utf8()).collect()
}
