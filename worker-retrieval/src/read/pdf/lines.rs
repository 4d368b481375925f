//! Lines from characters, in the order in which they are drawn.

use super::glyphs::Placed;
use crate::segment::is_wide;

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its left end, in points.
    pub left: f64,
    /// Its right end.
    pub right: f64,
    /// Its base line, from the page's top.
    pub y: f64,
    /// Height of its font.
    pub size: f64,
    /// What it says; tabs part columns.
    pub text: String,
}

/// Makes lines of one page.
#[derive(Default)]
pub struct Builder {
    lines: Vec<Line>,
    line: Option<Line>,
    /// Where the last character begins and what it was.
    last: (f64, String),
}

impl Builder {
    /// The lines, in order; none is empty.
    pub fn finish(mut self) -> Vec<Line> {
        self.end();
        self.lines
    }

    /// The next character.
    pub fn add(&mut self, glyph: Placed) {
        if self.line.as_ref().is_some_and(|line| !belongs(line, &glyph)) {
            self.end();
        }
        let Some(line) = &mut self.line else {
            if !glyph.text.trim().is_empty() {
                let Placed { x, y, width, size, text } = glyph;
                self.last = (x, text.clone());
                self.line = Some(Line { left: x, right: x + width, y, size, text });
            }
            return;
        };
        // Bold text is sometimes drawn twice, a little apart.
        if self.last.1 == glyph.text && (glyph.x - self.last.0).abs() < glyph.size * 0.12 {
            return;
        }
        line.text.push_str(gap(line, &glyph));
        line.text.push_str(&glyph.text);
        line.right = line.right.max(glyph.x + glyph.width);
        line.size = line.size.max(glyph.size);
        self.last = (glyph.x, glyph.text);
    }

    fn end(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.text.truncate(line.text.trim_end().len());
            self.lines.push(line);
        }
    }
}

fn belongs(line: &Line, glyph: &Placed) -> bool {
    let size = line.size.max(glyph.size);
    // What is raised or lowered is smaller.
    let raised = glyph.size < line.size * 0.85 || glyph.size > line.size * 1.18;
    let near = (glyph.y - line.y).abs() < size * if raised { 0.5 } else { 0.3 };
    near && glyph.x > line.right - size
}

/// What stands between the line so far and the next character.
fn gap(line: &Line, glyph: &Placed) -> &'static str {
    let ems = (glyph.x - line.right) / line.size.min(glyph.size);
    let before = line.text.chars().next_back().unwrap_or_default();
    let after = glyph.text.chars().next().unwrap_or_default();
    let word = if is_wide(before) || is_wide(after) { 0.7 } else { 0.18 };
    match ems {
        _ if before == '\t' => "",
        ems if ems > 1.8 => "\t",
        _ if before.is_whitespace() || after.is_whitespace() => "",
        ems if ems > word => " ",
        _ => "",
    }
}
