//! What tokens that were said before lose, as vLLM defines it (`vllm/model_executor/layers/utils.py`).

use protocol::Sampling;
use std::collections::HashMap;

/// The tokens of one sequence so far, and what they lose.
#[derive(Debug, Clone)]
pub(super) struct Penalties {
    repetition: f32,
    presence: f32,
    frequency: f32,
    /// How often the answer holds a token; 0: only the prompt does.
    counts: HashMap<u32, u32>,
}

impl Penalties {
    /// Of a sequence whose answer has begun with `answer`; `None`: nothing loses anything.
    pub fn new(sampling: &Sampling, prompt: &[u32], answer: &[u32]) -> Option<Self> {
        let Sampling { repetition_penalty, presence_penalty, frequency_penalty, .. } = *sampling;
        let (repetition, presence, frequency) = (repetition_penalty, presence_penalty, frequency_penalty);
        if repetition == 1.0 && presence == 0.0 && frequency == 0.0 {
            return None;
        }
        // Only repetition concerns the prompt.
        let prompt = if repetition == 1.0 { &[] } else { prompt };
        let mut penalties = Self { repetition, presence, frequency, counts: HashMap::new() };
        penalties.counts.extend(prompt.iter().map(|&token| (token, 0)));
        answer.iter().for_each(|&token| penalties.count(token));
        Some(penalties)
    }

    /// The answer goes on with `token`.
    pub fn count(&mut self, token: u32) {
        *self.counts.entry(token).or_default() += 1;
    }

    /// Takes what each token loses.
    pub fn apply(&self, logits: &mut [f32]) {
        for (&token, &count) in &self.counts {
            let Some(logit) = logits.get_mut(token as usize) else { continue };
            *logit = if *logit > 0.0 { *logit / self.repetition } else { *logit * self.repetition };
            *logit -= self.frequency * count as f32;
            *logit -= if count > 0 { self.presence } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_penalty_concerns_its_tokens() {
        let sampling =
            Sampling { repetition_penalty: 2.0, presence_penalty: 0.5, frequency_penalty: 0.25, ..Sampling::default() };
        let mut penalties = Penalties::new(&sampling, &[0, 1], &[1, 2]).unwrap();
        penalties.count(2);
        // In the prompt; in both; in the answer twice; in neither; beyond the vocabulary.
        penalties.count(99);
        let mut logits = [4.0, -4.0, 4.0, 4.0];
        penalties.apply(&mut logits);
        assert_eq!(logits, [2.0, -8.75, 1.0, 4.0]);
    }

    #[test]
    fn without_a_penalty_there_is_nothing_to_count() {
        assert!(Penalties::new(&Sampling::default(), &[1], &[2]).is_none());
    }
}
