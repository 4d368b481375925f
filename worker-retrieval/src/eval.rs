//! How well retrieval finds what answers a question: hit@1, hit@5 and MRR@10.

use crate::{Looked, Retrieval};
use protocol::{DocumentId, Event, Failure, KnowledgeJob, Lang, Passage, TenantId, Timestamp};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// Ranks below this one count as not found.
const DEPTH: usize = 10;

/// How to rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By words (BM25).
    Bm25,
    /// By meaning (cosine).
    Vectors,
    /// By both, fused: what a customer gets.
    Hybrid,
}

/// A question and the passages that answer it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What a customer asks.
    pub question: String,
    /// Its language.
    pub lang: Lang,
    /// Any of these is right.
    pub answers: Vec<Answer>,
}

/// A passage that answers a question.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The file name of its document.
    pub document: String,
    /// What its title or text contains.
    pub contains: String,
}

/// What was measured, over all questions and per language.
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
    /// Mean of 1 / rank of the first answer among the first ten, 0 where there is none.
    pub mrr_at_10: f64,
}

/// Reads cases from JSON lines; the error names the line.
pub fn parse(lines: &str) -> Result<Vec<Case>, String> {
    let numbered = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    numbered.map(|(at, line)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))).collect()
}

/// Asks every question and looks where its answer ranks.
pub async fn evaluate(retrieval: &Retrieval, tenant: &TenantId, cases: &[Case], mode: Mode) -> Result<Report, Failure> {
    let names = names(retrieval, tenant).await?;
    let mut ranks = Vec::with_capacity(cases.len());
    for case in cases {
        let Looked { found, .. } = retrieval.look_up(tenant, &case.question).await?;
        let passages = match mode {
            Mode::Bm25 => found.by_text,
            Mode::Vectors => found.by_vector,
            Mode::Hybrid => retrieval.ranker().rank(found, &case.question, DEPTH).passages,
        };
        ranks.push(rank(case, &passages, &names));
    }
    Ok(report(mode, cases, &ranks))
}

async fn names(retrieval: &Retrieval, tenant: &TenantId) -> Result<HashMap<DocumentId, String>, Failure> {
    match retrieval.apply(tenant, Timestamp(u64::MAX), KnowledgeJob::List).await? {
        Event::Documents { documents } => {
            Ok(documents.into_iter().map(|document| (document.id, document.name)).collect())
        }
        _ => Ok(HashMap::new()),
    }
}

/// The rank, from 1, of the first passage that answers `case`.
fn rank(case: &Case, passages: &[Passage], names: &HashMap<DocumentId, String>) -> Option<usize> {
    let answers = |passage: &Passage| {
        let named = |answer: &Answer| names.get(&passage.document) == Some(&answer.document);
        let holds =
            |answer: &Answer| passage.text.contains(&answer.contains) || passage.title.contains(&answer.contains);
        case.answers.iter().any(|answer| named(answer) && holds(answer))
    };
    passages.iter().take(DEPTH).position(answers).map(|at| at + 1)
}

fn report(mode: Mode, cases: &[Case], ranks: &[Option<usize>]) -> Report {
    let mut by_language: BTreeMap<String, Vec<Option<usize>>> = BTreeMap::new();
    for (case, rank) in cases.iter().zip(ranks) {
        by_language.entry(case.lang.to_string()).or_default().push(*rank);
    }
    let missed = cases.iter().zip(ranks).filter(|(_, rank)| **rank != Some(1));
    Report {
        mode,
        overall: score(ranks),
        languages: by_language.into_iter().map(|(lang, ranks)| (lang, score(&ranks))).collect(),
        missed: missed.map(|(case, rank)| (case.question.clone(), *rank)).collect(),
    }
}

fn score(ranks: &[Option<usize>]) -> Score {
    let share = |sum: f64| if ranks.is_empty() { 0.0 } else { sum / ranks.len() as f64 };
    let within = |most: usize| share(ranks.iter().flatten().filter(|rank| **rank <= most).count() as f64);
    let reciprocals = ranks.iter().flatten().map(|rank| 1.0 / *rank as f64).sum();
    Score { questions: ranks.len(), hit_at_1: within(1), hit_at_5: within(5), mrr_at_10: share(reciprocals) }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Bm25 => "bm25",
            Mode::Vectors => "vectors",
            Mode::Hybrid => "hybrid",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8} {:>5} {:>9} {:>6} {:>6} {:>7}", self.mode, "lang", "questions", "hit@1", "hit@5", "MRR@10")?;
        let languages = self.languages.iter().map(|(lang, score)| (lang.as_str(), score));
        for (lang, score) in languages.chain([("all", &self.overall)]) {
            let Score { questions, hit_at_1, hit_at_5, mrr_at_10 } = score;
            writeln!(f, "{:<8} {lang:>5} {questions:>9} {hit_at_1:>6.3} {hit_at_5:>6.3} {mrr_at_10:>7.3}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_count_what_was_not_found() {
        let cases = parse(
            "{\"question\":\"q\",\"lang\":\"zh\",\"answers\":[{\"document\":\"a.md\",\"contains\":\"yes\"}]}\n\n\
             {\"question\":\"p\",\"lang\":\"en\",\"answers\":[]}\n{\"question\":\"r\",\"lang\":\"en\",\"answers\":[]}",
        )
        .unwrap();
        let report = report(Mode::Hybrid, &cases, &[Some(1), Some(4), None]);
        let Score { questions, hit_at_1, hit_at_5, mrr_at_10 } = report.overall;
        assert_eq!((questions, hit_at_1, hit_at_5, mrr_at_10), (3, 1.0 / 3.0, 2.0 / 3.0, 1.25 / 3.0));
        assert_eq!(report.languages["zh"].hit_at_1, 1.0);
        assert_eq!(report.missed, [("p".into(), Some(4)), ("r".into(), None)]);
        assert!(report.to_string().contains("0.417"), "{report}");
    }

    #[test]
    fn an_answer_is_the_right_words_in_the_right_document() {
        let case =
            &parse(r#"{"question":"q","lang":"zh","answers":[{"document":"a.md","contains":"yes"}]}"#).unwrap()[0];
        let id = |id: &str| DocumentId::parse(id).unwrap();
        let names = HashMap::from([(id("a"), "a.md".into()), (id("b"), "b.md".into())]);
        let passage = |document: &str, text: &str| Passage {
            document: id(document),
            chunk: 0,
            title: "t".into(),
            text: text.into(),
            score: 0.0,
        };
        let passages = [passage("b", "yes"), passage("a", "no"), passage("a", "oh yes!")];
        assert_eq!(rank(case, &passages, &names), Some(3));
        assert_eq!(rank(case, &passages[..2], &names), None);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert!(parse("\n{\"question\":1}").unwrap_err().starts_with("line 2"));
    }
}
