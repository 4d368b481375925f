//! Neighbouring pieces of a document, put together again.

use protocol::Passage;

/// Bytes of a joined passage at most: about three of the usual length.
const MAX_BYTES: usize = 3_000;
/// Neighbours repeat whole sentences; less in common is chance.
const LEAST_OVERLAP: usize = 8;

/// A passage, or several that follow one another in their document.
#[derive(Debug)]
pub struct Joined {
    passage: Passage,
    /// The last piece's place.
    last: u32,
}

impl Joined {
    /// One passage.
    pub fn new(passage: Passage) -> Self {
        Self { last: passage.chunk, passage }
    }

    /// Takes a piece that comes right before or after, under the same title, unless it would become too long.
    pub fn take(&mut self, piece: &Passage) -> bool {
        let Self { passage, last } = self;
        let related = passage.document == piece.document && passage.title == piece.title;
        let after = last.checked_add(1) == Some(piece.chunk);
        let before = piece.chunk.checked_add(1) == Some(passage.chunk);
        if !related || !(after || before) {
            return false;
        }
        let text = if after { merge(&passage.text, &piece.text) } else { merge(&piece.text, &passage.text) };
        if text.len() > MAX_BYTES {
            return false;
        }
        passage.text = text;
        passage.chunk = passage.chunk.min(piece.chunk);
        *last = (*last).max(piece.chunk);
        true
    }

    /// As one passage, in the place of the first piece.
    pub fn passage(self) -> Passage {
        self.passage
    }
}

/// Both texts, without what the second one repeats of the first one's end.
fn merge(first: &str, second: &str) -> String {
    let most = first.len().min(second.len());
    let repeats = |&length: &usize| second.is_char_boundary(length) && first.ends_with(&second[..length]);
    let overlap = (LEAST_OVERLAP..=most).rev().find(repeats).unwrap_or(0);
    let rest = second[overlap..].trim_start();
    if rest.is_empty() { first.to_owned() } else { format!("{first}\n{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_neighbours_share_is_said_once() {
        assert_eq!(merge("一。二二二二二二。", "二二二二二二。三。"), "一。二二二二二二。\n三。");
        assert_eq!(merge("One. Two is here.", "Two is here. Three."), "One. Two is here.\nThree.");
        assert_eq!(merge("One a", "a Two"), "One a\na Two", "chance");
        assert_eq!(merge("One sentence.", "One sentence."), "One sentence.");
    }
}
