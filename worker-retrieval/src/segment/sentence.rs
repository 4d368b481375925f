//! Sentence ends of Chinese and Latin prose.

use super::is_han;

/// Abbreviations that are followed by more of their sentence, also by a capital; lower case, without the last dot.
/// Others (`etc.`, `a.m.`, `Inc.`) end a sentence when a capital or Chinese follows.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "cf", "no", "nos", "fig", "figs", "approx", "tel",
    "ext", "art", "sec", "ch", "vol", "pp", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct",
    "nov", "dec",
];

/// Where each sentence of `text` ends, after its closing quotes and the space that follows; the last end is implied.
pub fn ends(text: &str) -> Vec<usize> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let mut ends = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let first = at;
        at += 1;
        if !is_terminator(chars[first].1) {
            continue;
        }
        at = skip(&chars, at, is_terminator);
        at = skip(&chars, at, is_closer);
        if at < chars.len() && is_end(text, &chars, first, at) {
            at = skip(&chars, at, char::is_whitespace);
            ends.extend(chars.get(at).map(|(offset, _)| *offset));
        }
    }
    ends
}

fn is_terminator(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '…' | '．' | '｡' | '.' | '!' | '?')
}

fn is_closer(c: char) -> bool {
    matches!(c, '”' | '’' | '」' | '』' | '）' | '】' | '》' | '"' | '\'' | ')' | ']' | '*' | '_')
}

fn skip(chars: &[(usize, char)], from: usize, what: impl Fn(char) -> bool) -> usize {
    from + chars[from..].iter().take_while(|(_, c)| what(*c)).count()
}

/// Whether the terminator at `first`, with what belongs to it up to `next`, ends a sentence.
fn is_end(text: &str, chars: &[(usize, char)], first: usize, next: usize) -> bool {
    let ascii = chars[first..next].iter().all(|(_, c)| c.is_ascii());
    if !ascii {
        return true;
    }
    let spaced = chars[next].1.is_whitespace();
    let follower = chars[next..].iter().map(|(_, c)| *c).find(|c| !c.is_whitespace());
    let single_dot = chars[first].1 == '.' && chars.get(first + 1).is_none_or(|(_, c)| *c != '.');
    if !spaced {
        // `3.5`, `example.com`, `?x=1`; but Chinese writers type ASCII marks without a space after them.
        return chars[first].1 != '.' && follower.is_some_and(is_han);
    }
    let lower_follows = follower.is_some_and(char::is_lowercase);
    !(lower_follows || single_dot && is_abbreviation(text, chars[first].0))
}

/// Whether the dot at `dot` belongs to an abbreviation, an initial or a list number.
fn is_abbreviation(text: &str, dot: usize) -> bool {
    let word_start = text[..dot]
        .rfind(|c: char| !(c.is_alphanumeric() || c == '.'))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let word = &text[word_start..dot];
    let initial = word.len() == 1 && word.starts_with(|c: char| c.is_ascii_uppercase() && c != 'I');
    let line_start = text[..word_start].trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|c| c == '\n');
    let number = line_start && !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    initial || number || ABBREVIATIONS.contains(&word.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::pieces;

    fn sentences(text: &str) -> Vec<&str> {
        pieces(0..text.len(), &ends(text)).into_iter().map(|range| text[range].trim()).collect()
    }

    #[test]
    fn chinese_sentences_end_at_their_marks() {
        assert_eq!(
            sentences("你好。请问？！好的；“行。”走……吧"),
            ["你好。", "请问？！", "好的；", "“行。”", "走……", "吧"]
        );
        assert_eq!(sentences("真的吗?可以!好"), ["真的吗?", "可以!", "好"]);
    }

    #[test]
    fn latin_sentences_end_before_a_space() {
        let text = "Pay 3.5 USD at example.com. Why? \"Because.\" Then wait... and go. (Really!) Yes";
        let expected =
            ["Pay 3.5 USD at example.com.", "Why?", "\"Because.\"", "Then wait... and go.", "(Really!)", "Yes"];
        assert_eq!(sentences(text), expected);
    }

    #[test]
    fn abbreviations_initials_and_numbers_do_not_end_a_sentence() {
        for text in [
            "Ask Dr. Wu, e.g. Mr. J. K. Li.",
            "See No. 5 vs. Fig. 2.",
            "1. Open it",
            "at 9 a.m. on Monday",
            "Acme Inc. is",
        ] {
            assert_eq!(sentences(text), [text]);
        }
        assert_eq!(
            sentences("Come at 9 a.m. We open. Am I? I. Yes."),
            ["Come at 9 a.m.", "We open.", "Am I?", "I.", "Yes."]
        );
    }
}
