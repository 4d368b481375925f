//! Text to index terms: Chinese by a dictionary, Latin words by their stems.

use jieba_rs::Jieba;
use std::{collections::BTreeSet, sync::LazyLock};
use tantivy::tokenizer::{Language, LowerCaser, RemoveLongFilter, Stemmer, StopWordFilter, TextAnalyzer};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;

/// The tokenizer's name in the schema.
pub const NAME: &str = "frontdesk";
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

/// Makes terms of passages and questions alike.
pub fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(Words)
        .filter(RemoveLongFilter::limit(MAX_TERM_BYTES))
        .filter(LowerCaser)
        .filter(StopWordFilter::remove(STOP_WORDS.iter().map(|word| (*word).to_owned())))
        .filter(Stemmer::new(Language::English))
        .build()
}

/// One form for what looks the same: full-width letters become ASCII, ligatures letters (Unicode NFKC).
pub fn normalize(text: &str) -> String {
    text.nfkc().collect()
}

/// The distinct terms of a question, the first [`MAX_QUERY_TERMS`] of them.
pub fn query_terms(text: &str) -> BTreeSet<String> {
    let text = normalize(text);
    let mut terms = BTreeSet::new();
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(&text);
    while terms.len() < MAX_QUERY_TERMS && stream.advance() {
        terms.insert(stream.token().text.clone());
    }
    terms
}

/// Cuts text into the words of jieba's dictionary, with the shorter words inside long ones.
#[derive(Clone)]
struct Words;

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { words: JIEBA.cut_for_search(text, true).into_iter(), token: Token::default() }
    }
}

struct WordStream<'a> {
    words: std::vec::IntoIter<jieba_rs::Token<'a>>,
    token: Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.find(|token| token.word.contains(char::is_alphanumeric)) else { return false };
        self.token.text.clear();
        self.token.text.push_str(word.word);
        self.token.offset_from = word.byte_start;
        self.token.offset_to = word.byte_end;
        self.token.position = word.start;
        self.token.position_length = word.end - word.start;
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
        query_terms(text).into_iter().collect()
    }

    #[test]
    fn chinese_is_cut_into_words_and_the_words_within() {
        let terms = terms("如何重置账号密码？北京大学");
        for word in ["重置", "账号", "密码", "北京", "大学", "北京大学"] {
            assert!(terms.iter().any(|term| term == word), "{word} in {terms:?}");
        }
        assert!(!terms.iter().any(|term| term == "如何" || term == "？"));
    }

    #[test]
    fn latin_words_are_stemmed_whatever_their_width_and_case() {
        assert_eq!(terms("Resetting my PASSWORDS"), terms("reset ＰＡＳＳＷＯＲＤ"));
    }

    #[test]
    fn noise_has_no_terms() {
        assert_eq!(terms("?? 的 the … 🙂 \u{0}"), Vec::<String>::new());
    }
}
