//! Markers in an answer that is being written: those of passages that were not given are taken out before anybody sees them.
//!
//! A marker that is not whole is held back, with the blank before it if both come together.

use crate::cited::{CLOSES, LARGEST, OPENS, numbers};
use protocol::Citation;

/// No marker is longer, in bytes.
const LONGEST: usize = 48;

/// Takes markers out.
#[derive(Debug)]
pub(super) struct Markers {
    given: Vec<u32>,
    held: String,
}

/// How a text begins.
enum Beginning {
    /// With so many bytes that are no marker.
    Text(usize),
    /// With a marker that is so many bytes long and reads so.
    Marker(usize, String),
    /// With what may become a marker.
    Unfinished,
}

impl Markers {
    /// Only those of `given` stay.
    pub fn of(given: &[Citation]) -> Self {
        Self { given: given.iter().map(|citation| citation.number).collect(), held: String::new() }
    }

    /// Takes more of the answer; returns what may be shown of it.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let mut shown = String::new();
        loop {
            let plain = self.held.find(|c| c == ' ' || OPENS.contains(&c)).unwrap_or(self.held.len());
            shown.extend(self.held.drain(..plain));
            match self.beginning() {
                _ if self.held.is_empty() => return shown,
                Beginning::Unfinished => return shown,
                Beginning::Text(bytes) => shown.extend(self.held.drain(..bytes)),
                Beginning::Marker(bytes, reads) => {
                    self.held.drain(..bytes);
                    shown.push_str(&reads);
                }
            }
        }
    }

    /// The answer has ended: what was held back, unless it is the beginning of a marker.
    pub fn release(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if held.contains(|c: char| c.is_ascii_digit()) { String::new() } else { held }
    }

    /// The answer goes on from what was shown.
    pub fn forget(&mut self) {
        self.held.clear();
    }

    fn beginning(&self) -> Beginning {
        let blank = usize::from(self.held.starts_with(' '));
        let Some(open) = self.held[blank..].chars().next().filter(|c| OPENS.contains(c)) else {
            return Beginning::Text(blank);
        };
        let from = blank + open.len_utf8();
        let rest = &self.held[from..];
        let is_inside = |c: char| c.is_ascii_digit() || matches!(c, ' ' | ',' | '，' | '、' | ';' | '；');
        match rest.char_indices().find(|(_, c)| !is_inside(*c)) {
            None if self.held.len() <= LONGEST => Beginning::Unfinished,
            Some((to, close)) if CLOSES.contains(&close) => {
                let marker = numbers(&rest[..to]).and_then(|numbers| self.reads(&numbers, blank, open, close));
                let whole = from + to + close.len_utf8();
                marker.map_or(Beginning::Text(from), |reads| Beginning::Marker(whole, reads))
            }
            _ => Beginning::Text(from),
        }
    }

    /// The marker with the numbers that were given, and the blank before it; empty without any, `None` if it is no marker.
    fn reads(&self, numbers: &[u32], blank: usize, open: char, close: char) -> Option<String> {
        if numbers.iter().any(|number| *number > LARGEST) {
            return None;
        }
        let given = numbers.iter().filter(|number| self.given.contains(number));
        let list: Vec<String> = given.map(u32::to_string).collect();
        let whole = || format!("{}{open}{}{close}", " ".repeat(blank), list.join(", "));
        Some(if list.is_empty() { String::new() } else { whole() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::DocumentId;

    fn markers() -> Markers {
        let document = DocumentId::parse("d").unwrap();
        let given = |number| Citation {
            number,
            document: document.clone(),
            title: String::new(),
            passage: String::new(),
            score: 1.0,
        };
        Markers::of(&[given(1), given(2)])
    }

    /// What is shown of `text` when it comes in pieces of `size` characters.
    fn shown(text: &str, size: usize) -> String {
        let (mut markers, chars) = (markers(), text.chars().collect::<Vec<_>>());
        let pieces = chars.chunks(size).map(|piece| markers.push(&piece.iter().collect::<String>()));
        let said: String = pieces.collect();
        said + &markers.release()
    }

    #[test]
    fn only_markers_of_passages_that_were_given_are_shown_however_the_text_is_cut() {
        for (text, reads) in [
            ("Press reset[1]. Then[7] wait[2, 9]【12】.", "Press reset[1]. Then wait[2]."),
            ("可以退货【2】,三天内【5】。", "可以退货【2】,三天内。"),
            ("In [2024] a[i] [x] and [ ] or [1-2]", "In [2024] a[i] [x] and [ ] or [1-2]"),
            ("two  blanks[3]  here ", "two  blanks  here "),
            ("cut off[1", "cut off"),
            ("[", "["),
            ("[9][1][8]", "[1]"),
        ] {
            for size in 1..8 {
                assert_eq!(shown(text, size), reads, "{size}");
            }
        }
        assert_eq!(shown("Press reset [7].", 5), "Press reset.", "the blank goes, too");
    }

    #[test]
    fn what_is_no_marker_is_held_back_no_longer_than_needed() {
        let mut markers = markers();
        assert_eq!(markers.push("Press "), "Press ");
        assert_eq!(markers.push("reset ["), "reset");
        assert_eq!(markers.push("i]"), " [i]");
        assert_eq!(markers.push(" [1"), "");
        assert_eq!(markers.push("] now"), " [1] now");
        assert_eq!(markers.push(&format!("[{}", "1 ".repeat(40))), format!("[{}", "1 ".repeat(40)));
    }
}
