//! `frontdesk bench parity`: whether two sides choose the same tokens.

mod compare;

use super::{figures::write_aligned, peer, side::Side, trace::Sequence};
use crate::{cli::ParityBench, config::Config, print};
use anyhow::{Context, ensure};
use compare::{Difference, compare};
use protocol::{ChatMessage, Role, Sampling};
use std::fmt::{self, Display, Formatter};

/// Tokens that a question may have with the model's template.
const QUESTION_TOKENS: u32 = 512;
/// Alternatives to each token that both sides tell.
const ALTERNATIVES: u8 = 10;
/// Characters of a question that the table shows.
const SHOWN: usize = 28;

/// Asks both the same, prints where they part, and fails when one parting is more than a near tie.
pub fn run(config: &Config, bench: &ParityBench) -> anyhow::Result<()> {
    let questions = questions(bench)?;
    let tokens = (QUESTION_TOKENS + bench.generate) as usize;
    let inference = super::inference(config, bench.model.as_deref(), questions.len(), tokens)?;
    // One at a time: what the peer computes may depend on what else is in its batch.
    let peer = peer::config(&bench.against, bench.against_model.as_deref(), &inference)?;
    let peer = worker_gpu::Config { max_sequences: 1, ..peer };
    let mut ours = Side::new(worker_gpu::open(&inference, &config.models_dir)?, None)?;
    let mut peer = Side::new(worker_gpu::open(&peer, &config.models_dir)?, None)?;
    let conversations: Vec<_> =
        questions.iter().map(|question| vec![ChatMessage::new(Role::User, question.as_str())]).collect();
    let sampling = Sampling { max_tokens: bench.generate, logprobs: Some(ALTERNATIVES), ..Sampling::default() };
    let (ours, peer) = (ours.run(&conversations, &sampling)?, peer.run(&conversations, &sampling)?);
    let sides = ours.sequences.iter().zip(&peer.sequences);
    let lines = questions.iter().zip(sides).map(|(question, (ours, peer))| Line::new(question, ours, peer));
    let report = Report { lines: lines.collect::<anyhow::Result<_>>()?, tie: bench.tie };
    print(&report.to_string())?;
    let wrong = report.lines.iter().filter(|line| !report.is_acceptable(line)).count();
    ensure!(wrong == 0, "{wrong} of {} answers part at more than a near tie", report.lines.len());
    Ok(())
}

fn questions(bench: &ParityBench) -> anyhow::Result<Vec<String>> {
    let file = || bench.questions.display().to_string();
    let text = std::fs::read_to_string(&bench.questions).with_context(file)?;
    let lines = text.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty());
    let questions: Vec<String> = lines.collect();
    ensure!(!questions.is_empty(), "{}: no questions", file());
    Ok(questions)
}

struct Line {
    question: String,
    tokens: u32,
    same_prompt: bool,
    difference: Option<Difference>,
}

struct Report {
    lines: Vec<Line>,
    tie: f32,
}

impl Line {
    fn new(question: &str, ours: &Sequence, peer: &Sequence) -> anyhow::Result<Self> {
        let logprobs =
            |side: &Sequence| side.pieces.iter().flat_map(|piece| piece.logprobs.clone()).collect::<Vec<_>>();
        let (ours_told, peer_told) = (logprobs(ours), logprobs(peer));
        let question: String = question.chars().take(SHOWN).collect();
        ensure!(!ours_told.is_empty(), "{question}: the engine tells no log probabilities");
        ensure!(!peer_told.is_empty(), "{question}: the server tells no log probabilities");
        Ok(Self {
            question,
            tokens: ours.usage.completion_tokens,
            same_prompt: ours.usage.prompt_tokens == peer.usage.prompt_tokens,
            difference: compare(&ours_told, &peer_told),
        })
    }
}

impl Report {
    fn is_acceptable(&self, line: &Line) -> bool {
        let is_tie = |difference: &Difference| difference.margin().is_some_and(|margin| margin <= self.tie);
        line.same_prompt && line.difference.as_ref().is_none_or(is_tie)
    }

    fn cells(&self, line: &Line) -> Vec<String> {
        let outcome = match &line.difference {
            _ if !line.same_prompt => "the prompts differ",
            None => "equal",
            Some(_) if self.is_acceptable(line) => "near tie",
            Some(_) => "DIFFERENT",
        };
        let mut cells = vec![line.question.clone(), outcome.into(), line.tokens.to_string()];
        cells.extend(match &line.difference {
            None => ["-"; 5].map(String::from),
            Some(Difference { at, ours, peer, margins }) => {
                let [by_us, by_peer] = margins.map(|margin| margin.map_or("-".into(), |margin| format!("{margin:.3}")));
                [at.to_string(), format!("{ours:?}"), format!("{peer:?}"), by_us, by_peer]
            }
        });
        cells
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let titles = ["question", "outcome", "tokens", "part at", "ours", "peer", "our margin, nats", "peer's"];
        let head = titles.map(String::from).to_vec();
        let lines: Vec<_> = std::iter::once(head).chain(self.lines.iter().map(|line| self.cells(line))).collect();
        write_aligned(f, &lines)?;
        let equal = self.lines.iter().filter(|line| line.same_prompt && line.difference.is_none()).count();
        let ties = self.lines.iter().filter(|line| self.is_acceptable(line)).count() - equal;
        writeln!(f, "\n{equal} of {} equal, {ties} part at a near tie", self.lines.len())
    }
}
