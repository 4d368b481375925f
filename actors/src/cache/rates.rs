//! How often a semantic cache would answer, and how often wrongly: measured on questions whose right answers are known.

use super::{guard::agree, near::cosine, scope::hash_of};

/// A question and which answer is right for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// As it is asked.
    pub question: String,
    /// Its unit vector.
    pub vector: Vec<f32>,
    /// Questions with the same answer mean the same.
    pub answer: String,
}

/// What came of asking all questions in their order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Cosine from which a question was taken for another one.
    pub threshold: f32,
    /// Questions.
    pub asked: usize,
    /// Questions that were answered from the cache.
    pub hits: usize,
    /// Those of them whose answer was that to another question.
    pub false_hits: usize,
    /// Questions that were near enough to an earlier one and not taken for it, since single words differ.
    pub guarded: usize,
}

impl Rates {
    /// Of all questions, the part that was answered from the cache.
    pub fn hit_rate(&self) -> f64 {
        share(self.hits, self.asked)
    }

    /// Of the answers from the cache, the part that was wrong.
    pub fn false_hit_rate(&self) -> f64 {
        share(self.false_hits, self.hits)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Asks `questions`, of one language, one after another at each of `thresholds`; what the cache does not answer is kept for
/// those that follow, as the cache does without its bounds.
pub fn rates(questions: &[Labelled], thresholds: &[f32]) -> Vec<Rates> {
    thresholds.iter().map(|threshold| rates_at(questions, *threshold)).collect()
}

fn rates_at(questions: &[Labelled], threshold: f32) -> Rates {
    let mut rates = Rates { threshold, asked: questions.len(), hits: 0, false_hits: 0, guarded: 0 };
    let mut kept: Vec<&Labelled> = Vec::new();
    for asked in questions {
        let hash = hash_of(&asked.question);
        let same = |known: &&&Labelled| hash_of(&known.question) == hash;
        let (near, agreeing) = match kept.iter().find(same) {
            Some(known) => (true, Some(*known)),
            None => nearest(&kept, asked, threshold),
        };
        match agreeing {
            Some(known) => {
                rates.hits += 1;
                rates.false_hits += usize::from(known.answer != asked.answer);
            }
            None => {
                rates.guarded += usize::from(near);
                kept.push(asked);
            }
        }
    }
    rates
}

/// Whether any is near enough, and the nearest of those that agree.
fn nearest<'a>(kept: &[&'a Labelled], asked: &Labelled, threshold: f32) -> (bool, Option<&'a Labelled>) {
    let with_cosine = kept.iter().filter_map(|known| Some((cosine(&known.vector, &asked.vector)?, *known)));
    let near: Vec<(f32, &Labelled)> = with_cosine.filter(|(cosine, _)| *cosine >= threshold).collect();
    let agreeing = near.iter().filter(|(_, known)| agree(&known.question, &asked.question));
    let best = agreeing.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, known)| *known);
    (!near.is_empty(), best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(question: &str, angle: f32, answer: &str) -> Labelled {
        Labelled { question: question.into(), vector: vec![angle.cos(), angle.sin()], answer: answer.into() }
    }

    #[test]
    fn a_wrong_answer_counts_as_a_false_hit() {
        let questions = [
            labelled("How do I pay?", 0.0, "pay"),
            labelled("how do I pay", 0.0, "pay"),
            labelled("In what way can I pay?", 0.1, "pay"),
            labelled("How do I pray?", 0.2, "pray"),
            labelled("How do I not pay?", 0.1, "not"),
            labelled("Where are you?", 1.5, "where"),
        ];
        let rates = rates(&questions, &[0.97, 0.999]);
        let counts = |rates: &Rates| (rates.hits, rates.false_hits, rates.guarded);
        assert_eq!(counts(&rates[0]), (3, 1, 1));
        assert_eq!(counts(&rates[1]), (1, 0, 1));
        assert_eq!((rates[0].hit_rate(), rates[1].false_hit_rate()), (0.5, 0.0));
        assert!((rates[0].false_hit_rate() - 1.0 / 3.0).abs() < 1e-9);
    }
}
