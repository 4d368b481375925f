//! The open elements of a page and the blocks that were read.

use super::element::{self, Role};
use crate::{
    read::markdown::{Writer, squeeze},
    segment::is_wide,
};
use html5gum::StartTag;
use std::ops::Range;

/// Elements deeper than this count as part of the one above.
const MAX_DEPTH: usize = 256;
/// A longer address is for machines.
const MAX_ADDRESS: usize = 200;
/// A main part with less text than this, in bytes, is not what the page is about.
const MIN_MAIN: usize = 200;

/// A page as far as it was read.
#[derive(Default)]
pub struct Page {
    open: Vec<Open>,
    /// Start tags beyond the greatest depth whose end is to come.
    deeper: usize,
    /// Open elements that hide what is in them.
    hidden: usize,
    /// Open elements that are the page's main part.
    main: usize,
    title: String,
    /// The text of the block that is being read.
    block: String,
    /// Whether the block is the first one of its list item.
    marker: bool,
    tables: Vec<Vec<Vec<String>>>,
    writer: Writer,
    /// Where the main parts are in what was written.
    mains: Vec<Range<usize>>,
}

struct Open {
    name: String,
    role: Role,
    hides: bool,
    is_main: bool,
    /// A list's items so far.
    count: usize,
    link: Option<Link>,
}

/// An address, and where its text begins.
struct Link {
    href: String,
    block: usize,
    written: usize,
}

impl Page {
    /// A start tag.
    pub fn open(&mut self, tag: &StartTag<()>) {
        let name = String::from_utf8_lossy(&tag.name).into_owned();
        self.end_implied(&name);
        if element::is_void(&name) {
            return self.void(&name, tag);
        }
        if self.open.len() >= MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        let role = element::role(&name);
        let is_main = matches!(name.as_str(), "main" | "article");
        let framing = matches!(name.as_str(), "header" | "footer" | "aside") && self.main == 0;
        let everything = matches!(name.as_str(), "html" | "body");
        let hides = role == Role::Hidden || framing || (!everything && element::is_hidden(tag));
        let shown = self.hidden == 0 && !hides;
        if shown {
            self.begin(role);
        }
        let is_main = is_main && shown;
        if is_main {
            self.main += 1;
            if self.main == 1 {
                self.mains.push(self.writer.len()..usize::MAX);
            }
        }
        self.hidden += usize::from(hides);
        let href = (role == Role::Link).then(|| element::attribute(tag, "href")).flatten();
        let link = href.map(|href| Link { href, block: self.block.len(), written: self.writer.len() });
        self.open.push(Open { name, role, hides, is_main, count: 0, link });
    }

    /// An end tag.
    pub fn close(&mut self, name: &[u8]) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        let name = String::from_utf8_lossy(name);
        if let Some(at) = self.open.iter().rposition(|open| open.name == *name) {
            self.close_to(at);
        }
    }

    /// Text between tags.
    pub fn text(&mut self, text: &str) {
        if self.open.last().is_some_and(|open| open.role == Role::Title) && self.title.len() < MAX_ADDRESS {
            self.title.push_str(text);
        } else if self.hidden == 0 && !self.within(Role::Title) {
            let kept = text.replace(['\r', '\0'], "");
            // A line break in the source is a space; one that is shown was written by `br`.
            self.block.push_str(&if self.within(Role::Code) { kept } else { unwrapped(&kept) });
        }
    }

    /// The page's title, if no heading says it, and its text.
    pub fn finish(mut self) -> (Option<String>, String) {
        self.close_to(0);
        self.flush();
        let has_title = self.writer.has_title();
        let title = Some(squeeze(&self.title)).filter(|title| !title.is_empty() && !has_title);
        let whole = self.writer.finish();
        let mains: Vec<&str> =
            self.mains.into_iter().filter_map(|range| whole.get(range.start..range.end.min(whole.len()))).collect();
        let main = mains.iter().map(|text| text.trim()).collect::<Vec<_>>().join("\n\n");
        (title, if main.trim().len() >= MIN_MAIN.min(whole.len() / 2 + 1) { main } else { whole })
    }

    fn within(&self, role: Role) -> bool {
        self.open.iter().any(|open| open.role == role)
    }

    fn end_implied(&mut self, name: &str) {
        let (ended, borders) = element::ends(name);
        let found = self
            .open
            .iter()
            .rposition(|open| ended.contains(&open.name.as_str()) || borders.contains(&open.name.as_str()));
        if let Some(at) = found.filter(|&at| ended.contains(&self.open[at].name.as_str())) {
            self.close_to(at);
        }
    }

    fn void(&mut self, name: &str, tag: &StartTag<()>) {
        if self.hidden > 0 || element::is_hidden(tag) {
            return;
        }
        match name {
            "br" => self.block.push('\n'),
            "hr" => self.flush(),
            "img" => {
                let shown = element::attribute(tag, "alt").unwrap_or_default();
                self.block.push_str(&format!(" {} ", shown.trim()));
            }
            _ => {}
        }
    }

    fn begin(&mut self, role: Role) {
        match role {
            Role::Inline | Role::Link | Role::Hidden => {}
            Role::Table => {
                self.flush();
                self.tables.push(Vec::new());
            }
            Role::Row => self.tables.last_mut().into_iter().for_each(|table| table.push(Vec::new())),
            Role::Item => {
                self.flush();
                self.marker = true;
                if let Some(list) = self.open.iter_mut().rfind(|open| matches!(open.role, Role::List(_))) {
                    list.count += 1;
                }
            }
            _ => self.flush(),
        }
    }

    fn close_to(&mut self, at: usize) {
        while self.open.len() > at {
            let Some(open) = self.open.pop() else { return };
            if self.hidden == 0 {
                self.end(&open);
            }
            self.hidden -= usize::from(open.hides);
            if open.is_main {
                self.main -= 1;
                let end = self.writer.len();
                self.mains.last_mut().filter(|_| self.main == 0).into_iter().for_each(|range| range.end = end);
            }
        }
    }

    fn end(&mut self, open: &Open) {
        match open.role {
            Role::Inline | Role::Hidden | Role::Title => {}
            Role::Link => self.link(open),
            Role::Heading(level) if self.tables.is_empty() => {
                let text = std::mem::take(&mut self.block);
                self.writer.heading(level, &text);
            }
            Role::Code if self.tables.is_empty() => {
                let text = std::mem::take(&mut self.block);
                self.writer.code(&text);
            }
            Role::Block if open.name == "caption" && self.tables.len() == 1 => {
                let text = std::mem::take(&mut self.block);
                self.writer.paragraph(&text);
            }
            Role::Cell => self.cell(),
            Role::Table => {
                self.flush();
                self.table();
            }
            _ => self.flush(),
        }
    }

    /// Says where a link leads, if a person can use that.
    fn link(&mut self, open: &Open) {
        let Some(link) = open.link.as_ref().filter(|link| link.written == self.writer.len()) else { return };
        let href = link.href.trim();
        let useful = ["http://", "https://"].iter().any(|scheme| href.starts_with(scheme))
            && href.len() <= MAX_ADDRESS
            && !href.contains(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '<' | '>'));
        let text = squeeze(self.block.get(link.block..).unwrap_or_default());
        let in_heading = self.open.iter().any(|open| matches!(open.role, Role::Heading(_)));
        if useful && !text.is_empty() && !href.contains(&text) && !in_heading {
            self.block.truncate(link.block);
            self.block.push_str(&format!("[{text}]({href})"));
        }
    }

    fn cell(&mut self) {
        let text = std::mem::take(&mut self.block);
        match self.tables.last_mut() {
            None => self.writer.paragraph(&text),
            Some(table) => match table.last_mut() {
                Some(row) => row.push(squeeze(&text)),
                None => table.push(vec![squeeze(&text)]),
            },
        }
    }

    fn table(&mut self) {
        let Some(rows) = self.tables.pop() else { return };
        if self.tables.is_empty() {
            self.writer.paragraph(&std::mem::take(&mut self.block));
            self.writer.table(&rows);
        } else {
            rows.iter().flatten().for_each(|cell| self.block.push_str(&format!("{cell} ")));
        }
    }

    /// Ends the block that is being read; blocks of a cell are one text, which the cell takes.
    fn flush(&mut self) {
        if !self.tables.is_empty() {
            return self.block.push(' ');
        }
        let text = std::mem::take(&mut self.block);
        if text.trim().is_empty() {
            return;
        }
        let lists: Vec<&Open> = self.open.iter().filter(|open| matches!(open.role, Role::List(_))).collect();
        match lists.last() {
            Some(list) if self.marker => {
                let number =
                    matches!(list.role, Role::List(true)).then(|| u32::try_from(list.count).unwrap_or(u32::MAX));
                self.marker = false;
                self.writer.item(lists.len() - 1, number, &text);
            }
            _ => self.writer.paragraph(&text),
        }
    }
}

/// `text` with its lines joined, without a space between Chinese characters.
fn unwrapped(text: &str) -> String {
    let mut lines = text.split('\n');
    let mut joined = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        let line = line.trim_start();
        let both = joined.trim_end().chars().next_back().zip(line.chars().next());
        if both.is_some_and(|(before, after)| is_wide(before) && is_wide(after)) {
            joined.truncate(joined.trim_end().len());
        } else {
            joined.push(' ');
        }
        joined.push_str(line);
    }
    joined
}
