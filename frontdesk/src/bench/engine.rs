//! `frontdesk bench engine`.

use super::{
    figures::{Figures, Unit, Who},
    peer,
    process::Process,
    prompts::Prompts,
    side::Side,
    trace::{Sample, Sequence},
};
use crate::{cli::EngineBench, config::Config, print};
use anyhow::Context;
use protocol::{ChatMessage, Role};
use runtime::{Random, clock::System};
use serde_json::json;

/// Tokens beside prompt and answers: the template's own and the second turn's question.
const SPARE: u32 = 256;
/// Asked in the second turn of a session.
const QUESTION: &str = "Which of these words came first, and which one came last?";

/// Measures, alternating between the sides, and prints the table.
pub fn run(config: &Config, bench: &EngineBench) -> anyhow::Result<()> {
    let mut desk = Desk::open(config, bench)?;
    print(&format!("{}\n", desk.title()))?;
    for round in 0..bench.repeat {
        desk.round(round)?;
    }
    print(&desk.figures.to_string())?;
    print(&desk.remarks())?;
    bench.json.as_ref().map_or(Ok(()), |file| {
        std::fs::write(file, format!("{:#}\n", desk.json())).with_context(|| file.display().to_string())
    })
}

/// The sides, and what was measured so far.
struct Desk<'a> {
    bench: &'a EngineBench,
    threads: usize,
    sides: Vec<(Who, Side)>,
    prompts: Prompts,
    /// Words of a prompt, and of a session's first one.
    words: [u32; 2],
    figures: Figures,
    /// Prompt tokens that each side counted in the first measurement.
    counted: Vec<u32>,
    short: usize,
}

impl<'a> Desk<'a> {
    fn open(config: &Config, bench: &'a EngineBench) -> anyhow::Result<Self> {
        let sequences = bench.sequences.iter().copied().max().unwrap_or(1).into();
        let tokens = bench.prompt.max(bench.session) + 2 * bench.generate + SPARE;
        let inference = super::inference(config, bench.model.as_deref(), sequences, tokens as usize)?;
        let ours = worker_gpu::open(&inference, &config.models_dir)?;
        let mut sides = vec![(Who::Ours, Side::new(ours, Some(Process::own()))?)];
        if let Some(base) = &bench.against {
            let peer = peer::config(base, bench.against_model.as_deref(), &inference)?;
            let process = bench.against_pid.map(Process::of).transpose()?;
            sides.push((Who::Peer, Side::new(worker_gpu::open(&peer, &config.models_dir)?, process)?));
        }
        let mut prompts = Prompts::new(System.seed());
        let words =
            [prompts.words(&mut sides[0].1, bench.prompt)?, prompts.words(&mut sides[0].1, bench.session.max(64))?];
        let (figures, threads) = (Figures::default(), inference.threads);
        Ok(Self { bench, threads, sides, prompts, words, figures, counted: Vec::new(), short: 0 })
    }

    fn title(&self) -> String {
        let names: Vec<&str> = self.sides.iter().map(|(_, side)| side.model()).collect();
        let EngineBench { prompt, generate, session, repeat, .. } = self.bench;
        let (names, threads) = (names.join(" against "), self.threads);
        format!(
            "{names}; inference.threads = {threads}; prompts of {prompt} tokens, answers of {generate}, sessions from \
             {session}; {repeat} rounds\n"
        )
    }

    /// Measures everything once; every other round the peer begins.
    fn round(&mut self, round: u32) -> anyhow::Result<()> {
        if round > 0 {
            self.sides.reverse();
        }
        self.prefill()?;
        for at in 0..self.bench.sequences.len() {
            self.load(self.bench.sequences[at])?;
        }
        if self.bench.session > 0 { self.session() } else { Ok(()) }
    }

    fn prefill(&mut self) -> anyhow::Result<()> {
        let conversation = [self.prompts.conversation(self.words[0])];
        for (who, side) in &mut self.sides {
            let trace = side.run(&conversation, &side.whole(1))?;
            self.counted.extend(trace.sequences.first().map(|sequence| sequence.usage.prompt_tokens));
            self.figures.add("prefill", Unit::TokensPerSecond, *who, trace.prefill());
        }
        Ok(())
    }

    fn load(&mut self, sequences: u16) -> anyhow::Result<()> {
        let words = self.words[0];
        let conversations: Vec<_> = (0..sequences).map(|_| self.prompts.conversation(words)).collect();
        for (who, side) in &mut self.sides {
            let trace = side.run(&conversations, &side.whole(self.bench.generate))?;
            let is_short = |sequence: &&Sequence| sequence.usage.completion_tokens < self.bench.generate;
            self.short += trace.sequences.iter().filter(is_short).count();
            let mut add = |name: &str, unit, sample| {
                self.figures.add(&format!("{sequences} at once: {name}"), unit, *who, sample);
            };
            add("TTFT p50", Unit::Seconds, trace.first_token());
            add("TPOT p50", Unit::Seconds, trace.per_token());
            add("decode", Unit::TokensPerSecond, trace.decode());
            add("with prefill", Unit::TokensPerSecond, trace.whole());
        }
        Ok(())
    }

    /// The second turn of a session, and the same with a beginning that nobody has seen.
    fn session(&mut self) -> anyhow::Result<()> {
        let [first, other] = [self.prompts.conversation(self.words[1]), self.prompts.conversation(self.words[1])];
        for (who, side) in &mut self.sides {
            let answer = side.run(std::slice::from_ref(&first), &side.whole(self.bench.generate))?;
            let answer = answer.sequences.first().map(Sequence::text).unwrap_or_default();
            let mut turn = |begin| anyhow::Ok(side.run(&[second(begin, &answer)], &side.whole(1))?.first_token());
            let (warm, cold) = (turn(&first)?, turn(&other)?);
            let sooner = warm.zip(cold).map(|(warm, cold)| Sample::from(cold.value / warm.value));
            self.figures.add("second turn: TTFT", Unit::Seconds, *who, warm);
            self.figures.add("second turn: TTFT without prefix cache", Unit::Seconds, *who, cold);
            self.figures.add("second turn: sooner with prefix cache", Unit::Times, *who, sooner);
        }
        Ok(())
    }

    /// What makes the figures less than they could be.
    fn remarks(&self) -> String {
        let ours = self.sides.iter().find(|(who, _)| *who == Who::Ours);
        let preemptions = ours.map_or(0, |(_, side)| side.preemptions());
        let short = format!("\n{} answers ended before {} tokens\n", self.short, self.bench.generate);
        let small = format!("\n{preemptions} preemptions: the KV cache is too small for this load\n");
        [(self.short > 0, short), (preemptions > 0, small)]
            .into_iter()
            .filter(|(said, _)| *said)
            .map(|(_, text)| text)
            .collect()
    }

    fn json(&self) -> serde_json::Value {
        let EngineBench { prompt, generate, session, repeat, against, .. } = self.bench;
        let models: Vec<&str> = self.sides.iter().map(|(_, side)| side.model()).collect();
        json!({
            "models": models, "against": against, "threads": self.threads, "prompt": prompt, "generate": generate,
            "session": session, "repeat": repeat, "prompt_tokens": self.counted, "short": self.short,
            "figures": self.figures,
        })
    }
}

fn second(begin: &[ChatMessage], answer: &str) -> Vec<ChatMessage> {
    let mut messages = begin.to_vec();
    messages.extend([ChatMessage::new(Role::Assistant, answer), ChatMessage::new(Role::User, QUESTION)]);
    messages
}
