//! Which paragraph styles are headings, and which lists are bulleted.

use super::xml::{Step, attribute, walk};
use protocol::Failure;
use std::collections::{HashMap, HashSet};

/// Chains of styles are followed so far.
const MAX_CHAIN: usize = 16;

#[derive(Default)]
struct Style {
    name: String,
    base: Option<String>,
    outline: Option<usize>,
}

/// The level of each style that is a heading, by the style's id; 0 is the document's title.
pub fn headings(source: &str) -> Result<HashMap<String, usize>, Failure> {
    let mut styles: HashMap<String, Style> = HashMap::new();
    let mut current: Option<(String, Style)> = None;
    walk(source, |step| match step {
        Step::Open("style", element) => {
            current = attribute(element, "styleId").map(|id| (id, Style::default()));
        }
        Step::Open(name, element) => {
            let Some((_, style)) = &mut current else { return };
            let value = attribute(element, "val");
            match name {
                "name" => style.name = value.unwrap_or_default().to_lowercase(),
                "basedOn" => style.base = value,
                "outlineLvl" => style.outline = value.and_then(|value| value.parse().ok()),
                _ => {}
            }
        }
        Step::Close("style") => styles.extend(current.take()),
        _ => {}
    })?;
    Ok(styles.keys().filter_map(|id| level(&styles, id).map(|level| (id.clone(), level))).collect())
}

fn level(styles: &HashMap<String, Style>, id: &str) -> Option<usize> {
    let mut next = styles.get(id);
    for _ in 0..MAX_CHAIN {
        let style = next?;
        if style.name == "title" {
            return Some(0);
        }
        let named = style.name.strip_prefix("heading ").and_then(|number| number.parse().ok());
        let outlined = style.outline.filter(|outline| *outline < 9).map(|outline| outline + 1);
        if let Some(level) = named.or(outlined) {
            return Some(level);
        }
        next = style.base.as_ref().and_then(|base| styles.get(base));
    }
    None
}

/// The (list, level) pairs that have bullets and no numbers.
pub fn bullets(source: &str) -> Result<HashSet<(String, usize)>, Failure> {
    let mut bulleted: HashSet<(String, usize)> = HashSet::new();
    let mut lists: Vec<(String, String)> = Vec::new();
    let (mut definition, mut level, mut list) = (String::new(), 0, String::new());
    walk(source, |step| {
        let Step::Open(name, element) = step else { return };
        match name {
            "abstractNum" => definition = attribute(element, "abstractNumId").unwrap_or_default(),
            "lvl" => level = attribute(element, "ilvl").and_then(|level| level.parse().ok()).unwrap_or(0),
            "numFmt" if attribute(element, "val").is_some_and(|format| format == "bullet" || format == "none") => {
                bulleted.insert((definition.clone(), level));
            }
            "num" => list = attribute(element, "numId").unwrap_or_default(),
            "abstractNumId" => lists.push((list.clone(), attribute(element, "val").unwrap_or_default())),
            _ => {}
        }
    })?;
    let of = |(list, definition): &(String, String)| {
        let levels = (0..9).filter(|level| bulleted.contains(&(definition.clone(), *level)));
        levels.map(|level| (list.clone(), level)).collect::<Vec<_>>()
    };
    Ok(lists.iter().flat_map(of).collect())
}
