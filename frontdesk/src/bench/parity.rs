//! `frontdesk bench parity`: whether two sides choose the same tokens.

mod compare;

use super::{figures::write_aligned, peer::Peer, side::Side};
use crate::{cli::ParityBench, config::Config, print};
use anyhow::{Context, ensure};
use compare::{Difference, PeerAnswer, compare};
use protocol::{ChatMessage, Role};
use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};

/// Tokens that a question may have with the model's template.
const QUESTION_TOKENS: u32 = 512;
/// Alternatives to each token that the peer tells.
const ALTERNATIVES: u32 = 10;
/// Characters of a question that the table shows.
const SHOWN: usize = 28;

/// Asks both the same, prints where they part, and fails when one parting is more than a near tie.
pub fn run(config: &Config, bench: &ParityBench) -> anyhow::Result<()> {
    let file = || bench.questions.display().to_string();
    let text = std::fs::read_to_string(&bench.questions).with_context(file)?;
    let questions: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure!(!questions.is_empty(), "{}: no questions", file());
    let tokens = (QUESTION_TOKENS + bench.generate) as usize;
    let inference = super::inference(config, bench.model.as_deref(), questions.len(), tokens)?;
    let peer = Peer::connect(&bench.against, bench.against_model.as_deref(), &inference.openai_key.0)?;
    let mut side = Side::new(worker_gpu::open(&inference, &config.models_dir)?, None)?;
    let conversations: Vec<_> =
        questions.iter().map(|question| vec![ChatMessage::new(Role::User, *question)]).collect();
    let ours = side.run(&conversations, bench.generate)?;
    let mut report = Report { lines: Vec::new(), tie: bench.tie };
    for ((question, messages), ours) in questions.iter().zip(&conversations).zip(&ours.sequences) {
        let peer = PeerAnswer::read(&peer.chat(body(messages, bench.generate))?)?;
        report.lines.push(Line {
            question: question.chars().take(SHOWN).collect(),
            tokens: ours.usage.completion_tokens,
            same_prompt: ours.usage.prompt_tokens == peer.prompt_tokens,
            difference: compare(ours, &peer),
        });
    }
    print(&report.to_string())?;
    let wrong = report.lines.iter().filter(|line| !report.is_acceptable(line)).count();
    ensure!(wrong == 0, "{wrong} of {} answers part at more than a near tie", questions.len());
    Ok(())
}

fn body(messages: &[ChatMessage], generate: u32) -> Value {
    json!({
        "messages": messages, "max_tokens": generate, "temperature": 0.0,
        "logprobs": true, "top_logprobs": ALTERNATIVES,
    })
}

struct Line {
    question: String,
    tokens: u32,
    same_prompt: bool,
    difference: Option<Difference>,
}

struct Report {
    lines: Vec<Line>,
    tie: f64,
}

impl Report {
    fn is_acceptable(&self, line: &Line) -> bool {
        let is_tie = |difference: &Difference| difference.margin.is_some_and(|margin| margin <= self.tie);
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
            None => ["-"; 4].map(String::from),
            Some(Difference { at, ours, peer, margin }) => {
                let margin = margin.map_or("not among the peer's".into(), |margin| format!("{margin:.3}"));
                [at.to_string(), format!("{ours:?}"), format!("{peer:?}"), margin]
            }
        });
        cells
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let titles = ["question", "outcome", "tokens", "part at", "ours", "peer", "peer's margin, nats"];
        let head = titles.map(String::from).to_vec();
        let lines: Vec<_> = std::iter::once(head).chain(self.lines.iter().map(|line| self.cells(line))).collect();
        write_aligned(f, &lines)?;
        let equal = self.lines.iter().filter(|line| line.same_prompt && line.difference.is_none()).count();
        let ties = self.lines.iter().filter(|line| self.is_acceptable(line)).count() - equal;
        writeln!(f, "\n{equal} of {} equal, {ties} part at a near tie", self.lines.len())
    }
}
