//! Texts that say the same in almost the same words.

use crate::analyzer::normalize;
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Letters and digits of one shingle.
const SHINGLE: usize = 6;
/// A text with this share of its shingles in another one repeats it.
const SAME: f32 = 0.9;

/// The texts so far, as sets of shingles (A. Broder, "On the resemblance and containment of documents", 1997).
#[derive(Debug, Default)]
pub struct Seen(Vec<HashSet<u64>>);

impl Seen {
    /// Whether `text` is not contained in an earlier one; it is remembered if so.
    pub fn is_new(&mut self, text: &str) -> bool {
        let shingles = shingles(text);
        let held = |other: &HashSet<u64>| shingles.intersection(other).count() as f32;
        let repeats = self.0.iter().any(|other| held(other) >= SAME * shingles.len() as f32);
        if !repeats {
            self.0.push(shingles);
        }
        !repeats
    }
}

fn shingles(text: &str) -> HashSet<u64> {
    let letters: Vec<char> =
        normalize(text).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let hash = |window: &[char]| {
        let mut hasher = DefaultHasher::new();
        window.hash(&mut hasher);
        hasher.finish()
    };
    // A text without letters is like no other but itself.
    let short = letters.len() < SHINGLE;
    let whole = short.then(|| hash(if letters.is_empty() { &['\0'] } else { &letters }));
    letters.windows(SHINGLE).map(hash).chain(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_text_is_told_from_one_that_differs_where_it_matters() {
        let mut seen = Seen::default();
        let text = "签收后 15 天内，在“我的订单 > 申请退货”提交，快递员会上门取件。无理由退货收取 10 元取件费。";
        assert!(seen.is_new(text));
        assert!(!seen.is_new(&text.replace('，', ", ")), "punctuation and spaces say nothing");
        assert!(!seen.is_new(&text.chars().take(30).collect::<String>()), "a part of it");
        assert!(seen.is_new("中枢、灯泡、插座保修 24 个月，智能门锁保修 36 个月。"));
        assert!(seen.is_new("E204"));
        assert!(seen.is_new("E205") && !seen.is_new("e204"));
    }

    #[test]
    fn a_longer_text_that_holds_an_earlier_one_is_new() {
        let mut seen = Seen::default();
        assert!(seen.is_new("Hubs have a warranty of 24 months."));
        assert!(
            seen.is_new("Hubs have a warranty of 24 months. Locks have one of 36 months, and accessories of 6 months.")
        );
    }
}
