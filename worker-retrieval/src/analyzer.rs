//! Text to index terms: Chinese by a dictionary and by its characters, other words by their stems.
//!
//! The two scripts have fields of their own: BM25 weighs a match by its field's length, and Chinese has more terms than
//! English for the same content.

use crate::segment::is_han;
use jieba_rs::Jieba;
use std::{collections::BTreeSet, sync::LazyLock};
use tantivy::tokenizer::{Language, LowerCaser, RemoveLongFilter, Stemmer, StopWordFilter, TextAnalyzer};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;

/// A query's terms beyond this many are ignored.
const MAX_QUERY_TERMS: usize = 128;
/// Longer runs are no words.
const MAX_TERM_BYTES: usize = 64;

/// Words that stand in nearly every question and tell nothing; stemmed forms need no entry of their own.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "how", "i", "if", "in", "is",
    "it", "its", "me", "my", "of", "on", "or", "so", "that", "the", "then", "there", "they", "this", "to", "was", "we",
    "what", "when", "where", "which", "who", "why", "will", "with", "you", "your",
    "的", "了", "是", "在", "我", "你", "您", "他", "它", "们", "我们", "你们", "吗", "呢", "吧", "啊", "呀", "嘛", "么",
    "和", "与", "及", "或", "也", "都", "就", "而", "被", "把", "这", "那", "有", "请", "请问", "怎么", "怎样", "如何",
    "什么", "为什么", "哪", "哪些", "哪里", "可以", "能", "会", "要", "想", "一个", "一下",
];

/// The dictionary takes a moment and some memory to load, and never changes.
static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);

/// Which of a text's terms a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Terms with a Chinese character.
    Han,
    /// All others.
    Other,
}

impl Script {
    /// Both.
    pub const ALL: [Script; 2] = [Script::Han, Script::Other];

    /// The name of its tokenizer in the schema.
    pub fn tokenizer(self) -> &'static str {
        match self {
            Script::Han => "han",
            Script::Other => "other",
        }
    }

    /// Makes this script's terms of passages and questions alike.
    pub fn analyzer(self) -> TextAnalyzer {
        TextAnalyzer::builder(Words(self))
            .filter(RemoveLongFilter::limit(MAX_TERM_BYTES))
            .filter(LowerCaser)
            .filter(StopWordFilter::remove(STOP_WORDS.iter().map(|word| (*word).to_owned())))
            .filter(Stemmer::new(Language::English))
            .build()
    }

    fn holds(self, word: &str) -> bool {
        word.contains(char::is_alphanumeric) && word.contains(is_han) == (self == Script::Han)
    }
}

/// One form for what looks the same: full-width letters become ASCII, ligatures letters (Unicode NFKC).
pub fn normalize(text: &str) -> String {
    text.nfkc().collect()
}

/// The distinct terms of a question in `script`, the first [`MAX_QUERY_TERMS`] of them.
pub fn query_terms(script: Script, text: &str) -> BTreeSet<String> {
    let text = normalize(text);
    let mut terms = BTreeSet::new();
    let mut analyzer = script.analyzer();
    let mut stream = analyzer.token_stream(&text);
    while terms.len() < MAX_QUERY_TERMS && stream.advance() {
        terms.insert(stream.token().text.clone());
    }
    terms
}

/// The words of `text` as they stand in it, but in lower case, and without those that tell nothing.
pub fn words(text: &str) -> Vec<String> {
    let text = normalize(text).to_lowercase();
    let words = JIEBA.cut(&text, true).into_iter().map(|word| word.word);
    let tells = |word: &&str| word.contains(char::is_alphanumeric) && !STOP_WORDS.contains(word);
    words.filter(tells).map(str::to_owned).collect()
}

/// Cuts text into the words of jieba's dictionary, the shorter words inside long ones, and single Chinese characters:
/// customers seldom write the very word of a document, but often one that shares a character with it.
#[derive(Clone)]
struct Words(Script);

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        let mut words: Vec<_> =
            JIEBA.cut_for_search(text, true).into_iter().map(|word| (word.byte_start, word.word)).collect();
        let one_character = |(_, word): &(usize, &str)| word.chars().nth(1).is_none();
        words.retain(|word| self.0.holds(word.1) && !(self.0 == Script::Han && one_character(word)));
        if self.0 == Script::Han {
            let han = text.char_indices().filter(|(_, c)| is_han(*c));
            words.extend(han.map(|(at, c)| (at, &text[at..at + c.len_utf8()])));
        }
        WordStream { words: words.into_iter(), token: Token::default() }
    }
}

struct WordStream<'a> {
    words: std::vec::IntoIter<(usize, &'a str)>,
    token: Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((start, word)) = self.words.next() else { return false };
        self.token.text.clear();
        self.token.text.push_str(word);
        self.token.offset_from = start;
        self.token.offset_to = start + word.len();
        // Nobody asks for phrases: positions only have to grow.
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        Script::ALL.into_iter().flat_map(|script| query_terms(script, text)).collect()
    }

    #[test]
    fn chinese_is_cut_into_words_and_the_words_within() {
        let terms = terms("如何重置账号密码？北京大学");
        for word in ["重置", "账号", "密码", "北京", "大学", "北京大学", "密", "码"] {
            assert!(terms.iter().any(|term| term == word), "{word} in {terms:?}");
        }
        assert!(!terms.iter().any(|term| term == "如何" || term == "？"));
    }

    #[test]
    fn latin_words_are_stemmed_whatever_their_width_and_case() {
        assert_eq!(terms("Resetting my PASSWORDS"), terms("reset ＰＡＳＳＷＯＲＤ"));
    }

    #[test]
    fn each_script_has_its_own_terms() {
        let text = "App 报错E204";
        assert_eq!(query_terms(Script::Other, text).into_iter().collect::<Vec<_>>(), ["app", "e204"]);
        assert!(query_terms(Script::Han, text).iter().all(|term| term.contains(is_han)));
    }

    #[test]
    fn noise_has_no_terms() {
        assert_eq!(terms("?? 的 the … 🙂 \u{0}"), Vec::<String>::new());
    }
}
