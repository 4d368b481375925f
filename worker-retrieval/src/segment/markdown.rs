//! The blocks of a Markdown document (CommonMark with tables).

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::ops::Range;

/// A longer heading is a paragraph that somebody marked by mistake.
const MAX_HEADING_CHARS: usize = 120;

/// A block at the top of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it is; what lies between two blocks belongs to neither.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A heading of level 1 to 6, without its markup.
    Heading(usize, String),
    /// Running text.
    Prose,
    /// A list, table, code block or HTML: kept whole when it fits.
    Whole,
}

/// The top blocks of `source` in order.
pub fn blocks(source: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut depth = 0usize;
    let mut heading: Option<String> = None;
    for (event, span) in Parser::new_ext(source, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    heading = matches!(tag, Tag::Heading { .. }).then(String::new);
                }
                depth += 1;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    blocks.push(Block { kind: kind(end, heading.take()), span });
                }
            }
            Event::Text(text) | Event::Code(text) => heading.iter_mut().for_each(|heading| heading.push_str(&text)),
            Event::SoftBreak | Event::HardBreak => heading.iter_mut().for_each(|heading| heading.push(' ')),
            _ => {}
        }
    }
    blocks
}

fn kind(end: TagEnd, heading: Option<String>) -> Kind {
    match (end, heading.map(|heading| heading.trim().to_owned())) {
        (TagEnd::Heading(level), Some(text)) if !text.is_empty() && text.chars().count() <= MAX_HEADING_CHARS => {
            Kind::Heading(rank(level), text)
        }
        (TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::BlockQuote(_), _) => Kind::Prose,
        _ => Kind::Whole,
    }
}

fn rank(level: HeadingLevel) -> usize {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
