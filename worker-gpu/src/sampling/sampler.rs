//! One sequence's choices.

use super::{
    choose::{choose, uniform},
    grammar::Grammar,
    logprobs::{Distribution, Likelihood},
    penalties::Penalties,
};
use crate::local::Draw;
use protocol::{ErrorCode, Failure, Sampling};

/// Chooses the tokens of one sequence.
pub(crate) struct Sampler {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    seed: u64,
    bias: Vec<(u32, f32)>,
    penalties: Option<Penalties>,
    grammar: Option<Grammar>,
    /// How many of the likeliest tokens are told beside the chosen one; `None`: nothing is told.
    logprobs: Option<usize>,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picked {
    pub token: u32,
    /// How likely it was, where that was asked for.
    pub likelihood: Option<Likelihood>,
}

impl Sampler {
    /// For a sequence that begins with `prompt`, and whose answer with `answer`. `grammar` has followed `answer` already.
    pub fn new(sampling: &Sampling, prompt: &[u32], answer: &[u32], grammar: Option<Grammar>) -> Self {
        Self {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            seed: sampling.seed,
            bias: sampling.logit_bias.iter().map(|(token, bias)| (*token, *bias)).collect(),
            penalties: Penalties::new(sampling, prompt, answer),
            grammar,
            logprobs: sampling.logprobs.map(usize::from),
        }
    }

    /// How a device may choose the token after `position` others by itself; `None`: the logits are needed.
    pub fn draw(&self, position: u64) -> Option<Draw> {
        let needs_logits = self.logprobs.is_some() || self.is_bent();
        (!needs_logits).then(|| self.shape(position))
    }

    fn is_bent(&self) -> bool {
        !self.bias.is_empty() || self.penalties.is_some() || self.grammar.is_some()
    }

    fn shape(&self, position: u64) -> Draw {
        let point = uniform(self.seed, position);
        Draw { temperature: self.temperature, top_k: self.top_k, top_p: self.top_p, min_p: self.min_p, point }
    }

    /// The token after `position` others.
    ///
    /// Randomness is drawn from seed and position alone, so neither the batch nor a restart in the middle changes it.
    pub fn next(&mut self, mut logits: Vec<f32>, position: u64) -> Result<Picked, Failure> {
        let own = self.logprobs.map(|count| Distribution::of(logits.clone(), count));
        for (token, bias) in &self.bias {
            logits.get_mut(*token as usize).into_iter().for_each(|logit| *logit += bias);
        }
        if let Some(penalties) = &self.penalties {
            penalties.apply(&mut logits);
        }
        if let Some(grammar) = &mut self.grammar {
            grammar.restrict(&mut logits)?;
        }
        let token = choose(logits, &self.shape(position)).ok_or_else(no_numbers)?;
        Ok(Picked { token, likelihood: own.map(|own| own.likelihood(token)) })
    }

    /// The answer goes on with `token`.
    pub fn accept(&mut self, token: u32) -> Result<(), Failure> {
        if let Some(penalties) = &mut self.penalties {
            penalties.count(token);
        }
        self.grammar.as_mut().map_or(Ok(()), |grammar| grammar.accept(token))
    }

    /// Whether the answer is all that was asked for, and nothing can follow.
    pub fn is_complete(&mut self) -> bool {
        self.grammar.as_mut().is_some_and(Grammar::is_complete)
    }
}

fn no_numbers() -> Failure {
    Failure::new(ErrorCode::EngineFailed, "the model computed no numbers for this prompt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn next(sampling: Sampling, logits: &[f32], answer: &[u32]) -> Picked {
        Sampler::new(&sampling, &[], answer, None).next(logits.to_vec(), 0).unwrap()
    }

    #[test]
    fn what_bends_the_choice_leaves_the_logprobs() {
        let logits = [0.5f32, 0.3, 0.2].map(f32::ln);
        let bias = BTreeMap::from([(2, 100.0), (9, 1.0)]);
        let sampling = Sampling { logit_bias: bias, logprobs: Some(1), ..Sampling::default() };
        let Picked { token, likelihood: Some(likelihood) } = next(sampling, &logits, &[]) else {
            panic!("no logprobs")
        };
        assert_eq!(token, 2);
        assert!((likelihood.logprob - 0.2f32.ln()).abs() < 1e-6);
        assert_eq!(likelihood.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_penalty_counts_the_answer_so_far() {
        let penalized = Sampling { frequency_penalty: 0.6, ..Sampling::default() };
        let logits = [2.0, 1.0];
        assert_eq!(next(penalized.clone(), &logits, &[0]).token, 0);
        assert_eq!(next(penalized.clone(), &logits, &[0, 0]).token, 1);
        let mut grown = Sampler::new(&penalized, &[], &[0], None);
        grown.accept(0).unwrap();
        assert_eq!(grown.next(logits.to_vec(), 2).unwrap().token, 1);
    }

    #[test]
    fn a_device_chooses_only_what_needs_no_logits() {
        let draws = |sampling: Sampling| Sampler::new(&sampling, &[], &[], None).draw(3).is_some();
        assert!(draws(Sampling { temperature: 1.0, top_k: 5, top_p: 0.5, min_p: 0.1, ..Sampling::default() }));
        assert!(!draws(Sampling { logprobs: Some(0), ..Sampling::default() }));
        assert!(!draws(Sampling { repetition_penalty: 1.1, ..Sampling::default() }));
        assert!(!draws(Sampling { logit_bias: [(1, 1.0)].into(), ..Sampling::default() }));
    }
}
