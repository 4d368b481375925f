//! An engine without a model: repeats the last message of a user or a tool. For tests and overhead benchmarks only.

use crate::{
    config::Config,
    engine::{Admitted, Engine, EngineError, Output, Request, SequenceId, Stats},
    sampling,
    text::{Parser, Speech, Syntax},
    told::Told,
};
use protocol::{ChatMessage, ErrorCode, Failure, FinishReason, Format, Role, Usage};
use std::{collections::VecDeque, time::Duration};

/// Characters of a word that make one token.
const TOKEN_CHARS: usize = 8;

/// Answers `echo: <last message of a user or a tool>`, one word per step and sequence.
pub(crate) struct Echo {
    capacity: usize,
    waiting_max: usize,
    context_tokens: usize,
    delay: Duration,
    running: Vec<Sequence>,
    waiting: VecDeque<Sequence>,
}

struct Sequence {
    id: SequenceId,
    words: VecDeque<String>,
    speech: Speech,
    told: Told,
    ignore_eos: bool,
    max_tokens: u32,
    usage: Usage,
}

impl Echo {
    pub fn new(config: &Config, delay: Duration) -> Self {
        Self {
            capacity: config.max_sequences,
            waiting_max: config.waiting,
            context_tokens: config.context_tokens,
            delay,
            running: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    fn start_waiting(&mut self) -> Vec<Output> {
        let free = self.capacity - self.running.len();
        let starting = self.waiting.drain(..free.min(self.waiting.len()));
        let before = self.running.len();
        self.running.extend(starting);
        self.running[before..].iter().map(|sequence| Output::Started(sequence.id)).collect()
    }
}

impl Engine for Echo {
    fn model(&self) -> &str {
        "echo"
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    fn add(&mut self, request: Request) -> Result<Admitted, Failure> {
        sampling::check(&request.sampling)?;
        refuse(&request)?;
        // Those that the next step starts do not wait.
        if self.running.len() + self.waiting.len() >= self.capacity + self.waiting_max {
            return Err(Failure::new(ErrorCode::Overloaded, "the engine's waiting line is full; try again"));
        }
        let sequence = Sequence::new(request);
        let prompt_tokens = sequence.usage.prompt_tokens;
        if prompt_tokens as usize >= self.context_tokens {
            let message = format!("the prompt has {prompt_tokens} tokens, the context {}", self.context_tokens);
            return Err(Failure::new(ErrorCode::ContextLengthExceeded, message));
        }
        self.waiting.push_back(sequence);
        Ok(Admitted { prompt_tokens })
    }

    fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        let mut outputs = self.start_waiting();
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        self.running.retain_mut(|sequence| sequence.step(&mut outputs));
        Ok(outputs)
    }

    fn cancel(&mut self, id: SequenceId) {
        self.running.retain(|sequence| sequence.id != id);
        self.waiting.retain(|sequence| sequence.id != id);
    }

    fn stats(&self) -> Stats {
        let running = self.running.len();
        Stats { running, waiting: self.waiting.len(), ..Stats::default() }
    }
}

impl Sequence {
    fn new(request: Request) -> Self {
        let prompt = request.messages.iter().flat_map(|message| tokens(&message.content)).count();
        let answer = answer(&request.messages);
        let rest = rest(&answer, &request.prefix);
        // An answer that repeats a call is one.
        let mut parser = Parser::new(Syntax::ECHO, &request.tools, false);
        parser.resume(&request.prefix);
        Self {
            id: request.id,
            words: tokens(rest).collect(),
            speech: Speech::new(&request.sampling.stop),
            told: Told::new(request.id, parser),
            ignore_eos: request.sampling.ignore_eos,
            max_tokens: request.sampling.max_tokens,
            usage: Usage { prompt_tokens: u32::try_from(prompt).unwrap_or(u32::MAX), completion_tokens: 0 },
        }
    }

    /// Says the next word; whether there is more to say.
    fn step(&mut self, outputs: &mut Vec<Output>) -> bool {
        let Some(word) = self.words.pop_front() else {
            return self.finish(outputs, FinishReason::Stop);
        };
        if self.ignore_eos {
            self.words.push_back(word.clone());
        }
        self.usage.completion_tokens += 1;
        let passed = self.speech.push(&word, false, Vec::new());
        let stopped = passed.stopped;
        self.told.push(passed, 1, outputs);
        match (stopped || self.told.parser().is_complete(), self.usage.completion_tokens >= self.max_tokens) {
            (true, _) => self.finish(outputs, FinishReason::Stop),
            (false, true) => self.finish(outputs, FinishReason::Length),
            (false, false) => true,
        }
    }

    fn finish(&mut self, outputs: &mut Vec<Output>, reason: FinishReason) -> bool {
        let held = self.speech.finish();
        if !held.text.is_empty() {
            self.told.push(held, 0, outputs);
        }
        self.told.finish(outputs);
        let has_called = reason == FinishReason::Stop && self.told.parser().has_called();
        let reason = if has_called { FinishReason::ToolCalls } else { reason };
        outputs.push(Output::Finished { id: self.id, reason, usage: self.usage });
        false
    }
}

/// An echo chooses nothing, so it can neither tell how likely its words are nor write what it must.
fn refuse(request: &Request) -> Result<(), Failure> {
    let sampling = &request.sampling;
    let asked = [
        ("logprobs", sampling.logprobs.is_some()),
        ("response_format", sampling.format != Format::Text),
        ("tool_choice", request.tools.demands()),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((param, _)) => {
            let message = format!("{param}: the echo engine has no model to do this with; leave it out");
            Err(Failure { code: ErrorCode::UnsupportedParameter, message, param: Some(param.to_string()) })
        }
    }
}

fn answer(messages: &[ChatMessage]) -> String {
    let last = messages.iter().rev().find(|message| matches!(message.role, Role::User | Role::Tool));
    format!("echo: {}", last.map_or("", |message| message.content.as_str()))
}

/// What is left of `answer` to say after `prefix`, even if that was said to another prompt.
fn rest<'a>(answer: &'a str, prefix: &str) -> &'a str {
    let from = (prefix.len()..=answer.len()).find(|place| answer.is_char_boundary(*place));
    from.map_or("", |from| &answer[from..])
}

/// Words with the space that follows them; long ones, and those of scripts without spaces, in pieces.
fn tokens(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(char::is_whitespace).flat_map(|word| {
        let chars: Vec<char> = word.chars().collect();
        chars.chunks(TOKEN_CHARS).map(|piece| piece.iter().collect()).collect::<Vec<String>>()
    })
}
