//! What stands at the top and the bottom of every page: running titles and page numbers.

use super::{Sheet, lines::Line};
use std::collections::HashMap;

/// How much of a page's height its margins take.
const MARGIN: f64 = 0.1;
/// What stands on so many pages belongs to none of them.
const MIN_PAGES: usize = 3;

/// The pages' lines without what repeats in their margins.
pub fn without(sheets: Vec<Sheet>) -> Vec<Vec<Line>> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for sheet in &sheets {
        let mut keys: Vec<String> = sheet.lines.iter().filter(|line| in_margin(line, sheet.height)).map(key).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
    }
    let repeats = |line: &Line| {
        let key = key(line);
        is_number(&key) || counts.get(&key).is_some_and(|count| *count >= MIN_PAGES)
    };
    let kept = |Sheet { lines, height, .. }: Sheet| {
        lines.into_iter().filter(|line| !(in_margin(line, height) && repeats(line))).collect()
    };
    sheets.into_iter().map(kept).collect()
}

fn in_margin(line: &Line, height: f64) -> bool {
    line.y < height * MARGIN || line.y > height * (1.0 - MARGIN)
}

/// The line's text with any number in the place of its numbers.
fn key(line: &Line) -> String {
    let mut key = String::new();
    for c in line.text.chars().filter(|c| !c.is_whitespace()) {
        if !c.is_ascii_digit() {
            key.extend(c.to_lowercase());
        } else if !key.ends_with('0') {
            key.push('0');
        }
    }
    key
}

/// Whether nothing but a page's number is left.
fn is_number(key: &str) -> bool {
    let rest = ["page", "of", "第", "页", "頁", "共", "-", "–", "—", "/", "|", "·", ",", "，"]
        .iter()
        .fold(key.to_owned(), |rest, word| rest.replace(word, ""));
    key.contains('0') && rest.chars().all(|c| c == '0') && rest.len() <= 2
}
