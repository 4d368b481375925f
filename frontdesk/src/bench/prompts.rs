//! Prompts of a wanted length that have nothing in common from their first words on.

use super::side::Side;
use anyhow::ensure;
use protocol::{ChatMessage, Role};

/// Each is one token in the usual vocabularies.
const WORDS: [&str; 12] = [
    " order", " paper", " refund", " river", " window", " garden", " basket", " letter", " train", " music", " apple",
    " stone",
];
/// Conversations are told apart by this many digits, so that all have the same length.
const NUMBERS: u64 = 100_000_000;
/// Corrections of the number of words; few do where each word is one token.
const TRIES: u32 = 5;

/// Makes prompts; no two are the same, not even in another process.
pub struct Prompts {
    next: u64,
}

impl Prompts {
    /// Begins anywhere.
    pub fn new(seed: u64) -> Self {
        Self { next: seed }
    }

    /// A conversation with `words` words to work on.
    pub fn conversation(&mut self, words: u32) -> Vec<ChatMessage> {
        // Odd and so without a common divisor: numbers repeat only after all have been.
        self.next = self.next.wrapping_add(61_803_399);
        vec![ChatMessage::new(Role::User, text(self.next % NUMBERS, words))]
    }

    /// Words with which a conversation has `tokens` tokens for this engine.
    pub fn words(&mut self, side: &mut Side, tokens: u32) -> anyhow::Result<u32> {
        // Few at first, since a word may be several tokens and must not exceed the context.
        let mut words = i64::from(tokens / 8).max(1);
        let mut last = (0, 0);
        for _ in 0..TRIES {
            let found = i64::from(side.prompt_tokens(&self.conversation(u32::try_from(words)?))?);
            let per_word = ((found - last.1) / (words - last.0)).max(1);
            let missing = (i64::from(tokens) - found) / per_word;
            if missing == 0 || found == 0 {
                break;
            }
            last = (words, found);
            words += missing;
            ensure!(words > 0, "a prompt of {tokens} tokens is too short; the shortest has about {found}");
        }
        Ok(u32::try_from(words)?)
    }
}

fn text(number: u64, words: u32) -> String {
    let word = |n: u64| WORDS[((n * 7 + number) % WORDS.len() as u64) as usize];
    let words: String = (0..u64::from(words)).map(word).collect();
    format!("{number:08}:{words}.\nWrite a very long story in which all of these words appear, one after another.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_differ_from_the_start_and_only_in_words() {
        let mut prompts = Prompts::new(7);
        let [one, two] = [prompts.conversation(20), prompts.conversation(20)];
        assert_ne!(one[0].content[..8], two[0].content[..8]);
        let count = |messages: &[ChatMessage]| messages[0].content.split_whitespace().count();
        assert_eq!(count(&one), count(&two));
        assert_ne!(Prompts::new(8).conversation(20), one);
    }
}
