//! A Word document's paragraphs and tables.

use super::xml::{Step, attribute, walk};
use crate::read::markdown::Writer;
use protocol::Failure;
use quick_xml::events::BytesStart;
use std::collections::{HashMap, HashSet};

/// Reads the body of a document.
pub struct Body<'a> {
    headings: &'a HashMap<String, usize>,
    bullets: &'a HashSet<(String, usize)>,
    paragraph: Paragraph,
    /// What is inside it is no text of the document: an older copy of a drawing, what was deleted.
    skipped: usize,
    in_text: bool,
    /// Whether the run is hidden.
    vanished: bool,
    /// Tables that are open; the last row's last cell is being read.
    tables: Vec<Vec<Row>>,
    /// How far each list has counted.
    counts: HashMap<(String, usize), u32>,
    /// Headings are one level deeper below a title.
    titled: usize,
    writer: Writer,
}

type Row = Vec<String>;

#[derive(Default)]
struct Paragraph {
    text: String,
    level: Option<usize>,
    list: Option<String>,
    depth: usize,
}

impl<'a> Body<'a> {
    /// Reads a document whose styles and lists are these.
    pub fn new(headings: &'a HashMap<String, usize>, bullets: &'a HashSet<(String, usize)>) -> Self {
        Self {
            headings,
            bullets,
            paragraph: Paragraph::default(),
            skipped: 0,
            in_text: false,
            vanished: false,
            tables: Vec::new(),
            counts: HashMap::new(),
            titled: 0,
            writer: Writer::default(),
        }
    }

    /// The text of `document.xml`.
    pub fn read(mut self, source: &str) -> Result<String, Failure> {
        walk(source, |step| match step {
            Step::Open(name, element) => self.open(name, element),
            Step::Close(name) => self.close(name),
            Step::Text(text) if self.in_text && self.skipped == 0 && !self.vanished => {
                self.paragraph.text.push_str(text);
            }
            Step::Text(_) => {}
        })?;
        Ok(self.writer.finish())
    }

    fn open(&mut self, name: &str, element: &BytesStart<'_>) {
        if self.skipped > 0 || is_skipped(name) {
            self.skipped += usize::from(is_skipped(name));
            return;
        }
        let value = || attribute(element, "val");
        match name {
            // A paragraph in a text box stands within another one.
            "p" if !self.paragraph.text.is_empty() => self.flush(),
            "t" => self.in_text = true,
            "tab" if self.paragraph.text.ends_with(|c: char| !c.is_whitespace()) => self.paragraph.text.push(' '),
            "br" | "cr" => self.paragraph.text.push('\n'),
            "noBreakHyphen" => self.paragraph.text.push('-'),
            "r" => self.vanished = false,
            "vanish" => self.vanished = !value().is_some_and(|value| value == "0" || value == "false"),
            "pStyle" => self.paragraph.level = value().and_then(|id| self.headings.get(&id).copied()),
            "outlineLvl" => {
                let level = value().and_then(|level| level.parse::<usize>().ok()).filter(|level| *level < 9);
                self.paragraph.level = level.map(|level| level + 1);
            }
            "ilvl" => self.paragraph.depth = value().and_then(|depth| depth.parse().ok()).unwrap_or(0).min(8),
            "numId" => self.paragraph.list = value().filter(|list| list != "0"),
            "tbl" => self.tables.push(Vec::new()),
            "tr" => self.tables.last_mut().into_iter().for_each(|table| table.push(Vec::new())),
            "tc" => self.row().into_iter().for_each(|row| row.push(String::new())),
            // A cell that is merged with the one above says what that says.
            "vMerge" if value().is_none_or(|value| value == "continue") => self.repeat_above(),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if is_skipped(name) {
            self.skipped = self.skipped.saturating_sub(1);
        }
        if self.skipped > 0 {
            return;
        }
        match name {
            "t" => self.in_text = false,
            "p" => self.flush(),
            "r" => self.vanished = false,
            "tbl" => self.end_table(),
            _ => {}
        }
    }

    fn row(&mut self) -> Option<&mut Row> {
        self.tables.last_mut().and_then(|table| table.last_mut())
    }

    fn repeat_above(&mut self) {
        let Some(table) = self.tables.last_mut() else { return };
        let Some((row, above)) = table.split_last_mut() else { return };
        let at = row.len().saturating_sub(1);
        if let (Some(cell), Some(text)) = (row.last_mut(), above.last().and_then(|above| above.get(at))) {
            cell.clone_from(text);
        }
    }

    fn flush(&mut self) {
        let Paragraph { text, level, list, depth } = std::mem::take(&mut self.paragraph);
        if text.trim().is_empty() {
            return;
        }
        if let Some(cell) = self.tables.last_mut().and_then(|table| table.last_mut()).and_then(|row| row.last_mut()) {
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&text);
            return;
        }
        match (level, list) {
            (Some(0), _) => {
                self.titled = 1;
                self.writer.heading(1, &text);
            }
            (Some(level), _) => self.writer.heading(level + self.titled, &text),
            (None, Some(list)) => {
                let number = self.count(list, depth);
                self.writer.item(depth, number, &text);
            }
            (None, None) => self.writer.paragraph(&text),
        }
    }

    /// The item's number; `None`: it has a bullet.
    fn count(&mut self, list: String, depth: usize) -> Option<u32> {
        for deeper in depth + 1..9 {
            self.counts.remove(&(list.clone(), deeper));
        }
        let key = (list, depth);
        if self.bullets.contains(&key) {
            return None;
        }
        let count = self.counts.entry(key).or_default();
        *count += 1;
        Some(*count)
    }

    fn end_table(&mut self) {
        let Some(rows) = self.tables.pop() else { return };
        match self.row().and_then(|row| row.last_mut()) {
            Some(cell) => rows.iter().flatten().for_each(|text| cell.push_str(&format!(" {text}"))),
            None => self.writer.table(&rows),
        }
    }
}

fn is_skipped(name: &str) -> bool {
    matches!(name, "Fallback" | "del" | "moveFrom")
}
