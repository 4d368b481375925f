//! Which passages an answer refers to.
//!
//! A marker is a number in brackets: `[1]`, `[1, 2]`, `【1】`. Markers of passages that were not given cite nothing. When no marker holds and the answer plainly repeats a passage, that passage is cited all the same: at least
//! [`SHARED_TERMS`] of the answer's terms, and at least [`SHARE`] of them, occur in it. Terms are pairs of neighbouring CJK
//! characters and words of four characters or more.

use protocol::Citation;
use std::collections::HashSet;

/// What a marker may begin with.
pub const OPENS: [char; 3] = ['[', '【', '［'];
/// What it may end with.
pub const CLOSES: [char; 3] = [']', '】', '］'];
/// Larger numbers in brackets are years and the like.
pub const LARGEST: u32 = 99;
/// An uncited answer must share this many terms with a passage to cite it.
pub const SHARED_TERMS: usize = 4;
/// An uncited answer must share this part of its terms with a passage to cite it.
pub const SHARE: f32 = 0.5;

/// Those of `given` that `text` refers to, in their order.
pub fn cited(text: &str, given: &[Citation]) -> Vec<Citation> {
    let numbers = markers(text);
    let marked: Vec<Citation> = given.iter().filter(|c| numbers.contains(&c.number)).cloned().collect();
    if marked.is_empty() { repeated(text, given).cloned().into_iter().collect() } else { marked }
}

/// The numbers inside brackets that hold nothing but numbers.
fn markers(text: &str) -> HashSet<u32> {
    let inside = text.split(OPENS).skip(1).filter_map(|rest| rest.split_once(CLOSES));
    inside.filter_map(|(inside, _)| numbers(inside)).flatten().collect()
}

/// The numbers of a list that holds nothing else.
pub fn numbers(list: &str) -> Option<Vec<u32>> {
    list.split([',', '，', '、', ';', '；']).map(|number| number.trim().parse().ok()).collect()
}

/// The passage that `text` shares most of its terms with, if it shares enough.
fn repeated<'a>(text: &str, given: &'a [Citation]) -> Option<&'a Citation> {
    let said = terms(text);
    let shared = |citation: &Citation| {
        let known = terms(&format!("{}\n{}", citation.title, citation.passage));
        said.intersection(&known).count()
    };
    let scored = given.iter().map(|citation| (shared(citation), citation));
    let best = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let enough = |count: usize| count >= SHARED_TERMS && count as f32 >= SHARE * said.len() as f32;
    best.filter(|(count, _)| enough(*count)).map(|(_, citation)| citation)
}

fn terms(text: &str) -> HashSet<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() || is_cjk(c)).filter(|word| word.chars().count() >= 4);
    let mut terms: HashSet<String> = words.map(String::from).collect();
    for run in lower.split(|c: char| !is_cjk(c)) {
        let chars: Vec<char> = run.chars().collect();
        terms.extend(chars.windows(2).map(|pair| pair.iter().collect::<String>()));
    }
    terms
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::DocumentId;

    fn given() -> Vec<Citation> {
        let passages = ["Open Settings, choose Security and press Reset password.", "订单发货后七天内可以无理由退货。"];
        let citation = |(number, passage): (u32, &str)| Citation {
            number,
            document: DocumentId::parse("d").unwrap(),
            title: String::new(),
            passage: passage.into(),
            score: 1.0,
        };
        (1..).zip(passages).map(citation).collect()
    }

    fn numbers_of(text: &str) -> Vec<u32> {
        cited(text, &given()).iter().map(|c| c.number).collect()
    }

    #[test]
    fn markers_cite_the_passages_that_were_given() {
        assert_eq!(numbers_of("Press reset [1]."), [1]);
        assert_eq!(numbers_of("都可以【2】。"), [2]);
        assert_eq!(numbers_of("Both [2, 1]."), [1, 2]);
        assert_eq!(numbers_of("Yes [2][7]."), [2]);
    }

    #[test]
    fn what_is_no_marker_cites_nothing() {
        for text in ["Hello!", "See [7].", "a[i] = 3", "[1", "[99999999999]", "[]", "I do not have this information."] {
            assert_eq!(numbers_of(text), [0; 0], "{text}");
        }
    }

    #[test]
    fn an_unmarked_answer_cites_the_passage_it_repeats() {
        assert_eq!(numbers_of("To reset it, open settings, choose Security, then press reset password."), [1]);
        assert_eq!(numbers_of("发货后七天内可以无理由退货。"), [2]);
        assert_eq!(numbers_of("很抱歉,我没有这方面的信息,可以为您转接人工。"), [0; 0]);
    }

    #[test]
    fn without_passages_nothing_is_cited() {
        assert_eq!(cited("As [1] says", &[]), []);
    }
}
