//! The words of a question that are worth one of the ten places that the server has for them.

use crate::analyzer;
use crate::segment::is_han;

/// The server ignores words beyond this many.
const MOST: usize = 10;

/// The words that tell most of `text`, in its order; empty: it has none. Long words, and those with digits, are seldom and so
/// tell more than short ones.
pub fn keywords(text: &str) -> String {
    let mut words: Vec<(usize, String)> = Vec::new();
    for word in analyzer::words(text) {
        if !words.iter().any(|(_, known)| *known == word) {
            words.push((words.len(), word));
        }
    }
    words.sort_by_key(|(at, word)| (std::cmp::Reverse(weight(word)), *at));
    words.truncate(MOST);
    words.sort_unstable();
    words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// A Chinese character tells about as much as three letters.
fn weight(word: &str) -> usize {
    let one = |c: char| match c {
        c if is_han(c) => 3,
        c if c.is_ascii_digit() => 4,
        _ => 1,
    };
    word.chars().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_most_is_kept_in_order() {
        assert_eq!(keywords("请问怎么 退货？ the 退货 of E204"), "退货 e204");
        assert_eq!(keywords("?? 的 the"), "");
        let long = "my router keeps losing the connection every night around ten after installing firmware 2.4.1 \
                    from your support website so please advise";
        let words = keywords(long);
        assert_eq!(words.split(' ').count(), 10, "{words}");
        assert!(words.contains("connection") && words.contains("firmware") && !words.contains("my"), "{words}");
    }
}
