//! From tokens to text, one at a time and never half a character.

use std::collections::HashMap;

/// Which bytes each token stands for.
pub(crate) struct Pieces(Vec<Box<[u8]>>);

/// The text of one sequence so far.
#[derive(Debug, Default)]
pub(crate) struct Detokenizer {
    /// The beginning of a character whose rest has not come.
    partial: Vec<u8>,
}

impl Pieces {
    /// From a byte-level vocabulary by id; `hidden` tokens stand for nothing.
    pub fn new<'a>(vocabulary: impl Iterator<Item = &'a str>, hidden: impl Fn(usize) -> bool) -> Self {
        let bytes = byte_alphabet();
        let piece = |(id, token): (usize, &str)| {
            if hidden(id) { Box::default() } else { decode(token, &bytes) }
        };
        Self(vocabulary.enumerate().map(piece).collect())
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes of a token; none of one that is hidden or unknown.
    pub fn of(&self, token: u32) -> &[u8] {
        self.0.get(token as usize).map_or(&[], |piece| piece)
    }
}

impl Detokenizer {
    /// Whether a character is incomplete.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// The text that `token` completes. Bytes that can never become a character appear as U+FFFD.
    pub fn push(&mut self, pieces: &Pieces, token: u32) -> String {
        self.partial.extend_from_slice(pieces.of(token));
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.partial) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.partial.clear();
                    return text;
                }
                Err(error) => {
                    let valid: Vec<u8> = self.partial.drain(..error.valid_up_to()).collect();
                    text.push_str(&String::from_utf8_lossy(&valid));
                    let Some(wrong) = error.error_len() else { return text };
                    self.partial.drain(..wrong);
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }
}

/// A token whose characters are not all of the alphabet was added as plain text.
fn decode(token: &str, bytes: &HashMap<char, u8>) -> Box<[u8]> {
    let decoded: Option<Vec<u8>> = token.chars().map(|char| bytes.get(&char).copied()).collect();
    decoded.unwrap_or_else(|| token.as_bytes().to_vec()).into()
}

/// The characters that byte-level vocabularies write bytes with: printable ones stand for themselves, the others for
/// the characters from U+0100 on, in order.
fn byte_alphabet() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let (plain, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(printable);
    let shifted = (0x100..).filter_map(char::from_u32).zip(others);
    plain.into_iter().map(|byte| (char::from(byte), byte)).chain(shifted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One token per byte, then a hidden one and one of plain text.
    fn pieces() -> Pieces {
        let mut vocabulary = vec![String::new(); 256];
        byte_alphabet().into_iter().for_each(|(char, byte)| vocabulary[byte as usize] = char.to_string());
        vocabulary.extend(["<|end|>".into(), "密码".into()]);
        Pieces::new(vocabulary.iter().map(String::as_str), |id| id == 256)
    }

    fn decode_all(tokens: impl IntoIterator<Item = u32>) -> String {
        let (pieces, mut detokenizer) = (pieces(), Detokenizer::default());
        tokens.into_iter().map(|token| detokenizer.push(&pieces, token)).collect()
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_no_character_is_split(text in "\\PC{0,40}") {
            prop_assert_eq!(decode_all(text.bytes().map(u32::from)), text);
        }

        #[test]
        fn any_bytes_become_text(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let found = decode_all(bytes.iter().copied().map(u32::from));
            let expected = String::from_utf8_lossy(&bytes);
            // What is incomplete at the end is not shown.
            prop_assert!(expected.starts_with(&found) && expected.chars().count() <= found.chars().count() + 3);
        }
    }

    #[test]
    fn hidden_unknown_and_plain_tokens() {
        assert_eq!(decode_all([256, 257, 9_999, u32::from(b'!')]), "密码!");
    }
}
