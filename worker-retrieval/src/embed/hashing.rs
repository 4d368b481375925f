//! A deterministic embedder without a model, for tests: texts that share words are close.

use super::{EmbedError, Embedder};

const DIMENSIONS: usize = 256;

/// Hashes words, and each Chinese character, into the dimensions of a vector.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashingEmbedder;

impl Embedder for HashingEmbedder {
    fn id(&self) -> &str {
        "hashing:v1"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| embed(text)).collect())
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed_queries(texts)
    }

    fn count_tokens(&self, text: &str) -> usize {
        words(text).count()
    }
}

fn embed(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0f32; DIMENSIONS];
    vector[0] = 0.01; // a text without words has a direction too
    for word in words(text) {
        let hash = fnv1a(&word.to_lowercase());
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        vector[hash as usize % DIMENSIONS] += sign;
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

/// Runs of ASCII letters and digits, and every other letter by itself.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).flat_map(|run| {
        let mut rest = run;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let ascii = rest.bytes().take_while(u8::is_ascii).count();
            let (word, after) = rest.split_at(if ascii > 0 { ascii } else { first.len_utf8() });
            rest = after;
            Some(word)
        })
    })
}

/// <http://www.isthe.com/chongo/tech/comp/fnv/>
fn fnv1a(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_words_bring_texts_together() {
        let vectors = [embed("reset my password"), embed("password reset"), embed("重置 delivery times"), embed("")];
        let cosine = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum::<f32>();
        assert!(cosine(0, 1) > 0.8 && cosine(0, 2) < 0.3, "{} {}", cosine(0, 1), cosine(0, 2));
        assert!((cosine(3, 3) - 1.0).abs() < 1e-5);
        assert_eq!(HashingEmbedder.count_tokens("How do I 重置密码 now?"), 8);
    }
}
