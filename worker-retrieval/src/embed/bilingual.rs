//! Two models side by side, one for Chinese and one for all else: small models know one of them well.

use super::{EmbedError, Embedder};
use crate::segment::is_han;

/// A text with at least this share of Chinese among its letters is Chinese, for technical terms stay Latin.
const CHINESE_SHARE: f32 = 0.3;
/// Share of a Latin text's cosine that the Chinese model decides. It keeps texts of different languages comparable, but far
/// apart: a passage in the customer's language goes first.
const COMMON_SHARE: f32 = 0.1;

/// A vector is the Chinese model's followed by the other model's, weighted by the text's script, and of length 1.
pub struct Bilingual {
    id: String,
    chinese: Box<dyn Embedder>,
    other: Box<dyn Embedder>,
}

type Embed = fn(&dyn Embedder, &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;

impl Bilingual {
    /// Joins two embedders.
    pub fn new(chinese: Box<dyn Embedder>, other: Box<dyn Embedder>) -> Self {
        Self { id: format!("{}+{}", chinese.id(), other.id()), chinese, other }
    }

    fn embed(&self, texts: &[&str], with: Embed) -> Result<Vec<Vec<f32>>, EmbedError> {
        let others: Vec<&str> = texts.iter().copied().filter(|text| !is_chinese(text)).collect();
        let common = with(&*self.chinese, texts)?;
        let mut others = with(&*self.other, &others)?.into_iter();
        let joined = texts.iter().zip(common).map(|(text, common)| {
            let other = if is_chinese(text) { None } else { others.next() };
            self.join(common, other)
        });
        Ok(joined.collect())
    }

    fn join(&self, mut vector: Vec<f32>, other: Option<Vec<f32>>) -> Vec<f32> {
        match other {
            None => vector.resize(self.dimensions(), 0.0),
            Some(other) => {
                vector.iter_mut().for_each(|x| *x *= COMMON_SHARE.sqrt());
                vector.extend(other.into_iter().map(|x| x * (1.0 - COMMON_SHARE).sqrt()));
            }
        }
        vector
    }
}

impl Embedder for Bilingual {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.chinese.dimensions() + self.other.dimensions()
    }

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed(texts, |embedder, texts| embedder.embed_queries(texts))
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed(texts, |embedder, texts| embedder.embed_passages(texts))
    }

    fn count_tokens(&self, text: &str) -> usize {
        if is_chinese(text) { self.chinese.count_tokens(text) } else { self.other.count_tokens(text) }
    }
}

fn is_chinese(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic());
    let (han, all) = letters.fold((0, 0), |(han, all), c| (han + u32::from(is_han(c)), all + 1));
    han > 0 && han as f32 >= CHINESE_SHARE * all as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::HashingEmbedder;

    #[test]
    fn vectors_have_length_one_and_languages_stay_apart() {
        let both = Bilingual::new(Box::new(HashingEmbedder), Box::new(HashingEmbedder));
        let vectors = both.embed_passages(&["App 报错 E204 怎么办", "reset it", "重置", "reset it E204"]).unwrap();
        let cosine = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum::<f32>();
        assert!(vectors.iter().all(|vector| vector.len() == both.dimensions()));
        assert!((0..4).all(|at| (cosine(at, at) - 1.0).abs() < 1e-5));
        assert!(cosine(1, 3) > 0.7);
        assert!(cosine(0, 3) > 0.02 && cosine(0, 3) < 0.32, "comparable, but far: {}", cosine(0, 3));
    }

    #[test]
    fn technical_terms_do_not_make_a_text_english() {
        assert!(
            is_chinese("App 报 E204 是什么毛病")
                && is_chinese("密码")
                && !is_chinese("What does 流明 mean?")
                && !is_chinese("")
        );
    }
}
