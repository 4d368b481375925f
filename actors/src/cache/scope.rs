//! Within what an answer is shared, and how equal questions are recognised.

use protocol::{KnowledgeVersion, Lang, TenantId};
use sha2::{Digest, Sha256};
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// The first 16 bytes of a SHA-256, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hash(String);

impl Hash {
    /// Of parts that cannot be mistaken for each other: each is preceded by its length.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Answers are shared within a scope and never beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whose customers ask.
    pub tenant: TenantId,
    /// The answer's language.
    pub lang: Lang,
    /// What the answer rests on.
    pub version: KnowledgeVersion,
    /// The hash of all that shapes an answer besides the question and the knowledge.
    pub policy: Hash,
}

impl Scope {
    /// Its name among the tenant's scopes.
    pub fn name(&self) -> String {
        format!("{}.{}.{}", self.lang, self.version.0, self.policy)
    }
}

/// A question in its scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where it is asked.
    pub scope: Scope,
    /// The hash of the [normalised](normalise) question.
    pub question: Hash,
}

impl Key {
    /// The key of a question as it was asked.
    pub fn new(scope: Scope, question: &str) -> Self {
        Self { scope, question: hash_of(question) }
    }
}

/// The same for questions that are equal when [normalised](normalise).
pub(super) fn hash_of(question: &str) -> Hash {
    Hash::of([normalise(question).as_bytes()])
}

/// A question without what does not change its meaning: compatible forms of characters (Unicode NFKC), case, white space
/// and punctuation at its end.
pub fn normalise(text: &str) -> String {
    let folded: String = text.nfkc().flat_map(char::to_lowercase).filter(|c| !is_invisible(*c)).collect();
    let mut words = folded.split_whitespace();
    let mut joined = words.next().unwrap_or_default().to_string();
    for word in words {
        // Between Chinese or Japanese characters a space says nothing.
        if !(joined.ends_with(is_ideograph) || word.starts_with(is_ideograph)) {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined.truncate(joined.trim_end_matches(is_closing).len());
    joined
}

/// A character of a script that is written without spaces.
pub(super) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}') || (c.is_control() && !c.is_whitespace())
}

fn is_closing(c: char) -> bool {
    c.is_whitespace() || matches!(c, '.' | '?' | '!' | '。' | '…' | '~' | ',' | ';' | '、')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_questions_are_recognised() {
        for (text, same) in [
            ("  How do I\treset my Password?? ", "how do i reset my password"),
            ("Ｈow do I reset my password！", "how do i reset my password"),
            ("如何 重置 密码?", "如何重置密码"),
            ("如何重置密码？。", "如何重置密码"),
            ("iPhone 怎么退货\u{200b}", "iphone怎么退货"),
        ] {
            assert_eq!(normalise(text), same, "{text}");
        }
    }

    #[test]
    fn different_questions_stay_different() {
        for (one, other) in [("c++", "c"), ("可以退货吗", "不可以退货吗"), ("a b", "ab"), ("plan 1", "plan 2")]
        {
            assert_ne!(normalise(one), normalise(other));
        }
        assert_eq!(normalise(" ?!。 "), "");
    }

    #[test]
    fn parts_of_a_hash_are_not_mistaken_for_each_other() {
        let hash = |parts: &[&str]| Hash::of(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["ab"]), hash(&["ab", ""]));
        assert_eq!(hash(&["ab"]).to_string().len(), 32);
    }
}
