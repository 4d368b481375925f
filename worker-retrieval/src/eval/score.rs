//! Figures of a ranking.

use super::{Case, DEPTH, Mode};
use std::{collections::BTreeMap, fmt};

/// What was measured in one mode.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How passages were ranked.
    pub mode: Mode,
    /// Over all questions.
    pub overall: Score,
    /// By language.
    pub languages: BTreeMap<String, Score>,
    /// The questions whose answer was not first, with its rank (from 1) where it was found at all.
    pub missed: Vec<(String, Option<usize>)>,
}

/// Means over some questions; each is 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// How many questions.
    pub questions: usize,
    /// Share whose first passage answers.
    pub hit_at_1: f64,
    /// Share with an answer among the first five passages.
    pub hit_at_5: f64,
    /// Share with an answer among the first ten passages.
    pub hit_at_10: f64,
    /// Mean of 1 / rank of the first answer among the first ten, 0 where there is none.
    pub mrr_at_10: f64,
    /// Mean normalized discounted cumulative gain of the first ten, each answer worth 1 where it is first met.
    pub ndcg_at_10: f64,
    /// Half of nDCG's 95 % confidence interval: 1.96 standard errors of the mean.
    pub ndcg_margin: f64,
}

impl Report {
    /// From what each case gained at each rank.
    pub(super) fn new(mode: Mode, cases: &[&Case], gains: &[Vec<bool>]) -> Self {
        let mut by_language: BTreeMap<String, Vec<(&Case, &[bool])>> = BTreeMap::new();
        let all: Vec<(&Case, &[bool])> = cases.iter().copied().zip(gains.iter().map(Vec::as_slice)).collect();
        for (case, gain) in &all {
            by_language.entry(case.lang.to_string()).or_default().push((case, gain));
        }
        let missed = all.iter().filter(|(_, gain)| gain.first() != Some(&true));
        Self {
            mode,
            overall: Score::of(&all),
            languages: by_language.into_iter().map(|(lang, cases)| (lang, Score::of(&cases))).collect(),
            missed: missed.map(|(case, gain)| (case.question.clone(), rank(gain))).collect(),
        }
    }
}

impl Score {
    fn of(cases: &[(&Case, &[bool])]) -> Self {
        let count = cases.len() as f64;
        let mean = |sum: f64| if cases.is_empty() { 0.0 } else { sum / count };
        let ranks: Vec<usize> = cases.iter().filter_map(|(_, gain)| rank(gain)).collect();
        let within = |most: usize| mean(ranks.iter().filter(|rank| **rank <= most).count() as f64);
        let ndcg: Vec<f64> = cases.iter().map(|(case, gain)| dcg(gain) / ideal(case.answers.len())).collect();
        let average = mean(ndcg.iter().sum());
        let variance = mean(ndcg.iter().map(|x| (x - average).powi(2)).sum());
        Self {
            questions: cases.len(),
            hit_at_1: within(1),
            hit_at_5: within(5),
            hit_at_10: within(DEPTH),
            mrr_at_10: mean(ranks.iter().map(|rank| 1.0 / *rank as f64).sum()),
            ndcg_at_10: average,
            ndcg_margin: if cases.is_empty() { 0.0 } else { 1.96 * (variance / count).sqrt() },
        }
    }
}

fn rank(gain: &[bool]) -> Option<usize> {
    gain.iter().position(|gained| *gained).map(|at| at + 1)
}

/// K. Järvelin, J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
fn dcg(gain: &[bool]) -> f64 {
    let discounted =
        gain.iter().enumerate().filter(|(_, gained)| **gained).map(|(at, _)| 1.0 / (at as f64 + 2.0).log2());
    discounted.sum()
}

fn ideal(answers: usize) -> f64 {
    dcg(&vec![true; answers.clamp(1, DEPTH)])
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let languages = self.languages.iter().map(|(lang, score)| (lang.as_str(), score));
        let all = (self.languages.len() > 1).then_some(("all", &self.overall));
        for (lang, score) in languages.chain(all) {
            let Score { questions, hit_at_1, hit_at_5, hit_at_10, mrr_at_10, ndcg_at_10, ndcg_margin } = score;
            writeln!(
                f,
                "{:<9}{lang:>4}{questions:>10}{hit_at_1:>7.3}{hit_at_5:>7.3}{hit_at_10:>7.3}{mrr_at_10:>8.3}{ndcg_at_10:>8.3} ± {ndcg_margin:.3}",
                self.mode
            )?;
        }
        Ok(())
    }
}

impl Report {
    /// The titles of what is printed.
    pub const HEAD: &str = "mode     lang questions  hit@1  hit@5 hit@10  MRR@10 nDCG@10";
}
