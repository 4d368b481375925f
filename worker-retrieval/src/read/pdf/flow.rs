//! Paragraphs, headings, lists and tables from lines.

use super::lines::Line;
use crate::{
    read::markdown::Writer,
    segment::{is_han, is_wide},
};

/// A heading's letters are larger than the text's by this factor.
const HEADING: f64 = 1.15;
/// A longer line in large letters is no heading.
const MAX_HEADING_CHARS: usize = 100;
/// A larger gap than so many usual ones ends a paragraph.
const PARAGRAPH_GAP: f64 = 1.35;

/// The pages' text as Markdown.
pub fn text(pages: Vec<Vec<Line>>) -> String {
    let measure = Measure::of(&pages);
    let mut writer = Writer::default();
    let mut block = Block::default();
    let mut last: Option<&Line> = None;
    for page in &pages {
        for (at, line) in page.iter().enumerate() {
            let kind = measure.kind(line);
            let goes_on =
                block.kind == Some(kind) && last.is_some_and(|last| measure.continues(last, page, at, block.is_item));
            if !goes_on {
                std::mem::take(&mut block).write(&mut writer);
                block = Block { kind: Some(kind), is_item: is_item(&line.text), lines: Vec::new() };
            }
            block.lines.push(line);
            last = Some(line);
        }
    }
    block.write(&mut writer);
    writer.finish()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heading(usize),
    Row,
    Prose,
}

/// What is usual in a document.
struct Measure {
    /// Height of the letters.
    size: f64,
    /// From one line to the next.
    gap: f64,
    /// Sizes of headings, largest first.
    headings: Vec<u64>,
}

/// A size in half points: programs round differently.
fn rounded(size: f64) -> u64 {
    (size * 2.0).round() as u64
}

impl Measure {
    fn of(pages: &[Vec<Line>]) -> Self {
        let mut sizes = std::collections::BTreeMap::<u64, usize>::new();
        for line in pages.iter().flatten() {
            *sizes.entry(rounded(line.size)).or_default() += line.text.chars().count();
        }
        let body = sizes.iter().max_by_key(|(_, letters)| **letters).map_or(24, |(size, _)| *size);
        let size = body as f64 / 2.0;
        let mut gaps: Vec<f64> = pages
            .iter()
            .flat_map(|page| page.windows(2))
            .filter(|pair| pair.iter().all(|line| rounded(line.size) == body))
            .map(|pair| pair[1].y - pair[0].y)
            .filter(|gap| *gap > size * 0.8 && *gap < size * 3.0)
            .collect();
        gaps.sort_by(f64::total_cmp);
        // Lines within paragraphs are the closer ones.
        let gap = gaps.get(gaps.len() / 3).copied().unwrap_or(size * 1.4);
        let is_large = |large: &&u64| **large as f64 >= body as f64 * HEADING;
        let headings = sizes.keys().rev().filter(is_large).copied().collect();
        Self { size, gap, headings }
    }

    fn kind(&self, line: &Line) -> Kind {
        let level = self.headings.iter().position(|size| *size == rounded(line.size));
        let speaks = line.text.chars().any(char::is_alphabetic);
        match level {
            Some(level) if speaks && line.text.chars().count() <= MAX_HEADING_CHARS => Kind::Heading(level.min(5) + 1),
            _ if line.text.contains('\t') && !is_item(&line.text) => Kind::Row,
            _ => Kind::Prose,
        }
    }

    /// Whether the line at `at` goes on with what `last` began, which is of its kind.
    fn continues(&self, last: &Line, page: &[Line], at: usize, within_item: bool) -> bool {
        let (line, is_first) = (&page[at], at == 0);
        let kind = self.kind(line);
        let gap = line.y - last.y;
        let usual = self.gap.max(line.size * 1.1) * PARAGRAPH_GAP;
        let close = gap > 0.0 && gap < usual;
        let em = line.size.max(1.0);
        match kind {
            Kind::Heading(_) => gap > 0.0 && gap < line.size * 1.8 && !is_first,
            Kind::Row => gap > 0.0 && gap < self.gap.max(self.size * 1.4) * 2.5 && !is_first,
            Kind::Prose if is_item(&line.text) => false,
            Kind::Prose if is_first => {
                !ends_sentence(&last.text) && line.text.starts_with(|c: char| is_han(c) || c.is_lowercase())
            }
            Kind::Prose => {
                let indented = line.left > last.left + em * 1.2 && !within_item;
                let beside = (line.left - last.left).abs() > em * 12.0;
                close && !indented && !beside && !broken(page, at, usual)
            }
        }
    }
}

/// A column is no narrower than this part of its page's text.
const MIN_COLUMN: f64 = 0.35;

/// Whether the line break before the line at `at` was meant: its first word had room on the line before. How wide the column
/// is, the lines around show, which are no further apart than `usual`.
fn broken(page: &[Line], at: usize, usual: f64) -> bool {
    let line = &page[at];
    let Some(last) = at.checked_sub(1).map(|before| &page[before]) else { return false };
    let close = |pair: &&[Line]| pair[1].y > pair[0].y && pair[1].y - pair[0].y < usual;
    let below = page[at..].windows(2).take_while(close).map(|pair| pair[1].right);
    let above = page[..=at].windows(2).rev().take_while(close).map(|pair| pair[0].right);
    let left = page.iter().map(|line| line.left).fold(f64::MAX, f64::min);
    let right = page.iter().map(|line| line.right).fold(0.0, f64::max);
    let edge = below.chain(above).fold(line.right.max(line.left + (right - left) * MIN_COLUMN), f64::max);
    let letters = match line.text.chars().next() {
        Some(first) if is_wide(first) => 2.0,
        _ => line.text.split(char::is_whitespace).next().map_or(0, |word| word.chars().count()) as f64 * 0.55,
    };
    last.right + line.size * (letters + 1.0) < edge
}

#[derive(Default)]
struct Block<'a> {
    kind: Option<Kind>,
    is_item: bool,
    lines: Vec<&'a Line>,
}

impl Block<'_> {
    fn write(self, writer: &mut Writer) {
        match self.kind {
            None => {}
            Some(Kind::Heading(level)) => writer.heading(level, &self.joined()),
            Some(Kind::Row) => self.rows(writer),
            Some(Kind::Prose) => {
                let text = self.joined();
                match text.strip_prefix(BULLETS) {
                    Some(item) if self.is_item => writer.item(0, None, item),
                    _ => writer.paragraph(&text),
                }
            }
        }
    }

    fn rows(&self, writer: &mut Writer) {
        let rows: Vec<Vec<String>> =
            self.lines.iter().map(|line| line.text.split('\t').map(str::to_owned).collect()).collect();
        let width = rows.first().map_or(0, Vec::len);
        if rows.len() > 1 && rows.iter().all(|row| row.len() == width) {
            writer.table(&rows);
        } else {
            let lines: Vec<String> = rows.iter().map(|row| row.join("  ")).collect();
            writer.paragraph(&lines.join("\n"));
        }
    }

    fn joined(&self) -> String {
        let mut joined = String::new();
        for line in &self.lines {
            join(&mut joined, line.text.trim_start());
        }
        joined.replace('\u{ad}', "")
    }
}

/// Adds a line to a paragraph: words that were parted at its end become whole.
fn join(text: &mut String, line: &str) {
    let (before, after) = (text.chars().next_back(), line.chars().next());
    let (Some(before), Some(after)) = (before, after) else {
        text.push_str(line);
        return;
    };
    let word = text.trim_end_matches(['-', '\u{ad}', '‐']);
    let parted = word.len() < text.len() && word.ends_with(char::is_lowercase) && after.is_lowercase();
    if parted {
        text.truncate(word.len());
    } else if !(is_wide(before) && is_wide(after)) && before != '-' {
        text.push(' ');
    }
    text.push_str(line);
}

const BULLETS: &[char] = &['•', '●', '■', '◆', '▪', '◦', '○', '·', '–', '➢', '►', '✓', '*', '-'];

/// Whether the line begins an item of a list.
fn is_item(text: &str) -> bool {
    let rest = text.trim_start();
    if let Some(rest) = rest.strip_prefix(BULLETS) {
        return rest.starts_with(char::is_whitespace) || rest.chars().next().is_some_and(is_wide);
    }
    let number = rest.trim_start_matches(['(', '（', '第']);
    let digits = number.chars().take_while(|c| c.is_ascii_digit() || "一二三四五六七八九十".contains(*c)).count();
    let after = number.chars().nth(digits);
    let first = rest.chars().next().unwrap_or_default();
    let marked = match after {
        Some('.') => number.chars().nth(digits + 1).is_none_or(|c| c.is_whitespace() || is_wide(c)),
        Some(mark) => matches!(mark, ')' | '）' | '、' | '．' | '条'),
        None => false,
    };
    (1..=3).contains(&digits) && marked || matches!(first, '①'..='⑳')
}

fn ends_sentence(text: &str) -> bool {
    let closers = ['”', '’', '"', '\'', ')', '）', '」', '』'];
    let text = text.trim_end_matches(closers);
    text.ends_with(['.', '。', '!', '！', '?', '？', ':', '：', ';', '；', '…'])
}
