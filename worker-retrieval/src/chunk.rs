//! Cuts documents into passages: whole sentences, blocks and sections where they fit, never more than the limit.
//!
//! A passage is one piece of its source, so nothing is rewritten and nothing is lost; a heading's text goes into the
//! titles of the passages below it.

mod pack;

use crate::segment::{
    self, Level,
    markdown::{self, Kind},
};
use pack::Packer;
use std::ops::Range;

/// How long passages may be, and in what unit.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Longest passage, in tokens (≥ 1).
    pub max_tokens: usize,
    /// Most tokens that a passage repeats of the one before.
    pub overlap_tokens: usize,
    /// Length of a text in tokens.
    pub count: &'a dyn Fn(&str) -> usize,
}

/// A document that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    /// Its first heading, else the name it was given.
    pub title: String,
    /// In order; none for a document without text.
    pub chunks: Vec<Chunk>,
}

/// A passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The headings above it, from the outermost, parted by ` › `; the document's title where there is none.
    pub title: String,
    /// A piece of the source without the white space around it; never empty.
    pub text: String,
}

/// Cuts plain text; its paragraphs end at blank lines.
pub fn text(name: &str, source: &str, limits: Limits<'_>) -> Chunked {
    let mut packer = Packer::new(source, limits);
    for paragraph in segment::pieces(0..source.len(), &segment::paragraphs(source)) {
        packer.add(paragraph, Level::PROSE, false);
    }
    Chunked { title: name.into(), chunks: titled(name, packer.finish()).collect() }
}

/// Cuts Markdown; a section's passages never reach into another section.
pub fn markdown(name: &str, source: &str, limits: Limits<'_>) -> Chunked {
    let blocks = markdown::blocks(source);
    let title = blocks.iter().find_map(|block| match &block.kind {
        Kind::Heading(_, text) => Some(text.clone()),
        _ => None,
    });
    let title = title.unwrap_or_else(|| name.into());
    let sections = sections(source, &blocks);
    let deeper = |at: usize, path: &[(usize, String)]| {
        sections
            .get(at + 1)
            .is_some_and(|next: &Section<'_>| next.path.len() > path.len() && next.path.starts_with(path))
    };
    let mut chunks = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        let heading = section.path.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" › ");
        let heading = if heading.is_empty() { title.clone() } else { heading };
        let texts = section.pack(source, limits);
        // A heading with nothing below it is all the text there is.
        let bare = texts.is_empty() && !section.path.is_empty() && !deeper(at, &section.path);
        chunks.extend(bare.then(|| Chunk { title: heading.clone(), text: section.name() }));
        chunks.extend(titled(&heading, texts));
    }
    Chunked { title, chunks }
}

fn titled(title: &str, texts: Vec<String>) -> impl Iterator<Item = Chunk> + use<> {
    let title = title.to_owned();
    texts.into_iter().map(move |text| Chunk { title: title.clone(), text })
}

/// What stands between two headings.
struct Section<'a> {
    /// Level and text of the headings above.
    path: Vec<(usize, String)>,
    span: Range<usize>,
    blocks: &'a [markdown::Block],
}

impl Section<'_> {
    fn name(&self) -> String {
        self.path.last().map(|(_, text)| text.clone()).unwrap_or_default()
    }

    fn pack(&self, source: &str, limits: Limits<'_>) -> Vec<String> {
        let mut packer = Packer::new(source, limits);
        // Each piece ends where the next block begins, so what no block covers (link definitions) is kept.
        let cuts: Vec<_> = self.blocks.iter().skip(1).map(|block| block.span.start - self.span.start).collect();
        for (at, piece) in segment::pieces(self.span.clone(), &cuts).into_iter().enumerate() {
            let whole = self.blocks.get(at).is_some_and(|block| block.kind == Kind::Whole);
            packer.add(piece, if whole { Level::LINES } else { Level::PROSE }, whole);
        }
        packer.finish()
    }
}

fn sections<'a>(source: &str, blocks: &'a [markdown::Block]) -> Vec<Section<'a>> {
    let is_heading = |block: &markdown::Block| matches!(block.kind, Kind::Heading(..));
    let mut sections = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let (mut first, mut start) = (0, 0);
    loop {
        let length = blocks[first..].iter().position(is_heading).unwrap_or(blocks.len() - first);
        let next = first + length;
        let end = blocks.get(next).map_or(source.len(), |block| block.span.start);
        sections.push(Section { path: path.clone(), span: start..end, blocks: &blocks[first..next] });
        let Some(markdown::Block { span, kind: Kind::Heading(level, text) }) = blocks.get(next) else {
            return sections;
        };
        path.retain(|(above, _)| above < level);
        path.push((*level, text.clone()));
        (first, start) = (next + 1, span.end);
    }
}

#[cfg(test)]
mod tests;
