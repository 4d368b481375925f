//! Writes Markdown of plain blocks, so that what a document says cannot be mistaken for its structure.

/// Collects blocks of one document.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    last: Last,
    has_title: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Last {
    #[default]
    Block,
    Item,
}

impl Writer {
    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether a heading of the first level was written.
    pub fn has_title(&self) -> bool {
        self.has_title
    }

    /// A heading of level 1 to 6.
    pub fn heading(&mut self, level: usize, text: &str) {
        let text = one_line(text);
        if !text.is_empty() {
            self.has_title |= level <= 1;
            let marks = "######".get(..level.clamp(1, 6)).unwrap_or("#");
            self.block(&format!("{marks} {text}"));
        }
    }

    /// Running text; its line breaks are kept.
    pub fn paragraph(&mut self, text: &str) {
        let lines: Vec<String> = text.lines().map(squeeze).filter(|line| !line.is_empty()).map(plain).collect();
        if !lines.is_empty() {
            self.block(&lines.join("\n"));
        }
    }

    /// An item of a list, `depth` lists deep (from 0); `number` where the list is numbered.
    pub fn item(&mut self, depth: usize, number: Option<u32>, text: &str) {
        let text = one_line(text);
        if text.is_empty() {
            return;
        }
        let (indent, text) = ("   ".repeat(depth.min(8)), plain(text));
        let line = match number {
            Some(number) => format!("{indent}{number}. {text}"),
            None => format!("{indent}- {text}"),
        };
        if self.last == Last::Item {
            self.out.push('\n');
            self.out.push_str(&line);
        } else {
            self.block(&line);
        }
        self.last = Last::Item;
    }

    /// Text whose lines and spaces mean something.
    pub fn code(&mut self, text: &str) {
        let text = text.trim_matches('\n').trim_end();
        if !text.trim().is_empty() {
            let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
            self.block(&format!("{fence}\n{text}\n{fence}"));
        }
    }

    /// A table whose first row is its head. One of a single column, or with cells too long for one, becomes paragraphs.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>()).collect();
        let rows: Vec<_> = rows.into_iter().filter(|row| row.iter().any(|cell| !cell.is_empty())).collect();
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let long = rows.iter().flatten().any(|cell| cell.len() > MAX_CELL);
        if width < 2 || rows.len() < 2 || long || width > MAX_COLUMNS {
            rows.iter().for_each(|row| self.paragraph(&joined(row)));
            return;
        }
        let line = |row: &[String]| {
            let cells = (0..width).map(|at| row.get(at).map(|cell| cell.replace('|', "\\|")).unwrap_or_default());
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let rule = format!("|{}", "---|".repeat(width));
        let lines: Vec<String> = rows.iter().map(|row| line(row)).collect();
        let (head, body) = lines.split_at(1);
        self.block(&[head, &[rule], body].concat().join("\n"));
    }

    fn block(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.push_str("\n\n");
        }
        self.out.push_str(text);
        self.last = Last::Block;
    }
}

/// A longer cell, in bytes, is a page's layout and no table's.
const MAX_CELL: usize = 1500;
/// More columns are no table that a person reads.
const MAX_COLUMNS: usize = 64;

fn joined(row: &[String]) -> String {
    row.iter().filter(|cell| !cell.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}

/// `text` with one space for each run of white space, none at its ends.
pub fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn one_line(text: &str) -> String {
    squeeze(text)
}

/// `line` so that Markdown sees running text in it.
fn plain(line: String) -> String {
    let first = line.chars().next().unwrap_or_default();
    let rule = matches!(first, '-' | '=' | '_' | '*') && line.chars().all(|c| c == first || c == ' ');
    let mark = matches!(first, '#' | '>' | '|' | '~') || line.starts_with("```") || rule;
    if mark { format!("\\{line}") } else { line }
}

fn longest_run(text: &str, mark: char) -> usize {
    text.split(|c| c != mark).map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut writer = Writer::default();
        writer.heading(2, " A \n title ");
        writer.paragraph("# no heading\n---\n\n> no quote");
        writer.item(0, Some(1), "one");
        writer.item(1, None, "two");
        writer.code("a\n```\nb");
        writer.table(&[vec!["a".into(), "b|c".into()], vec!["d".into()]]);
        writer.table(&[vec!["alone".into()]]);
        let expected = "## A title\n\n\\# no heading\n\\---\n\\> no quote\n\n1. one\n   - two\n\n````\na\n```\nb\n````\n\n\
                        | a | b\\|c |\n|---|---|\n| d |  |\n\nalone";
        assert_eq!(writer.finish(), expected);
    }
}
