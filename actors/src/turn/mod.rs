//! A turn's state machine: pure, so that every order of events can be tried.
//!
//! [`Turn::on`] takes what happened and the time, and returns what to do about it. It reads no clock and does no I/O. Whatever
//! arrives, in whatever order: numbers of emitted events have no gap, at most one of them is a last event and nothing
//! follows it, and the texts of the emitted tokens, joined, are the text of `Finished`; so are the pieces of reasoning and of
//! calls, where [`Spec::shows_asides`]. The answer's size, and so its
//! log's, is bounded by [`Spec::sampling`]'s `max_tokens` times [`BYTES_PER_TOKEN`].
//!
//! ```text
//!        Accepted              passages, or none in time        whole, stopped or cut
//!  New ────────────▶ Retrieving ──────────────▶ Generating ─────────────▶ Committing
//!   │                 │  ▲  │ Lost              │  ▲  │ torn, stalled, Lost   │
//!   │                 │  └──┘                   │  └──┘                       │ Committed,
//!   │ Fail            │ Fail, Abandoned,        │ Fail, Abandoned, PublishFailed, │ CommitFailed
//!   ▼                 ▼ Stop                    ▼ Stop before any text        ▼
//!   └─────────────────┴──────────▶ Done ◀───────┴─────────────────────────────┘
//! ```
//!
//! Without knowledge a turn goes from `New` to `Generating`. `Lost` in `Retrieving` searches again until the deadline of
//! retrieval; a break in `Generating` asks another job to continue after what has been generated.

mod generation;
mod io;
mod said;

pub use io::{Answer, Effect, Input, Knowledge, Spec};

use crate::{
    cited::cited,
    prompt::{Built, Found},
};
use generation::{Generation, Taken};
use protocol::{
    Aside, Citation, ErrorCode, Event, Failure, FinishReason, InferenceJob, JobId, Priority, Reply, RetrievalJob,
    Timestamp, TokenLogprob, TurnEvent, Usage,
};
use said::Said;

/// A worker that sends more text than this for each token it may generate is cut off.
pub const BYTES_PER_TOKEN: usize = 256;
/// An answer that breaks off more often than this fails.
pub const MAX_RESTARTS: u32 = 5;

enum Phase {
    New,
    Retrieving(JobId),
    Generating(Generation),
    Committing(TurnEvent),
    Done,
}

/// What a frame adds to the answer.
struct Piece {
    text: String,
    tokens: u32,
    logprobs: Vec<TokenLogprob>,
}

/// One turn, from a customer's message to its last event.
pub struct Turn {
    spec: Spec,
    phase: Phase,
    prompt: Built,
    emitted: u64,
    said: Said,
    tokens: u32,
    prompt_tokens: Option<u32>,
    /// Retrieval and inference jobs so far.
    searches: u32,
    jobs: u32,
}

impl Turn {
    /// A turn that awaits [`Input::Accepted`].
    pub fn new(spec: Spec) -> Self {
        let (said, prompt) = (Said::default(), Built::default());
        Self { spec, phase: Phase::New, prompt, emitted: 0, said, tokens: 0, prompt_tokens: None, searches: 0, jobs: 0 }
    }

    /// Whether the last event has been emitted.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn wake_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Retrieving(_) => Some(self.spec.retrieval_deadline.min(self.spec.deadline)),
            Phase::Generating(generation) => {
                let stall = generation.last_token.map_or(self.spec.deadline, |at| at.after_ms(self.spec.stall_ms));
                Some(stall.min(self.spec.deadline))
            }
            Phase::New | Phase::Committing(_) | Phase::Done => None,
        }
    }

    /// Takes what happened at `now` and returns what to do, in order.
    pub fn on(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let mut todo = Vec::new();
        match input {
            Input::Accepted => self.accept(now, &mut todo),
            Input::Reply(reply) => self.reply(reply, now, &mut todo),
            Input::Lost => self.lost(now, &mut todo),
            Input::PublishFailed { job, failure } => self.publish_failed(&job, failure, &mut todo),
            Input::Tick => self.tick(now, &mut todo),
            Input::Stop => self.stop(&mut todo),
            Input::Abandoned => self.fail(unread(), &mut todo),
            Input::Fail(failure) => self.fail(failure, &mut todo),
            Input::Committed => self.committed(None, &mut todo),
            Input::CommitFailed(failure) => self.committed(Some(failure), &mut todo),
        }
        todo
    }

    fn accept(&mut self, now: Timestamp, todo: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::New) {
            return;
        }
        if now >= self.spec.deadline {
            return self.fail(deadline_exceeded(), todo);
        }
        match &self.spec.knowledge {
            None => self.grounded(Found::NotSearched, todo),
            Some(knowledge) => self.search(knowledge.job(&self.spec.lang), todo),
        }
    }

    fn search(&mut self, body: RetrievalJob, todo: &mut Vec<Effect>) {
        let job = part(&self.spec.job, 'r', self.searches);
        self.searches += 1;
        let deadline = self.spec.retrieval_deadline.min(self.spec.deadline);
        todo.push(Effect::Retrieve { job: job.clone(), deadline, body });
        self.phase = Phase::Retrieving(job);
    }

    fn reply(&mut self, reply: Reply, now: Timestamp, todo: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Retrieving(job) if *job == reply.job => self.retrieved(reply.events, todo),
            Phase::Generating(generation) => match generation.take(reply) {
                Taken::Events(events) => self.frames(events, now, todo),
                Taken::Torn => self.restart(todo),
            },
            _ => {}
        }
    }

    fn retrieved(&mut self, events: Vec<Event>, todo: &mut Vec<Effect>) {
        for event in events {
            match event {
                Event::Retrieved(found) => return self.grounded(Found::Passages(&found.passages), todo),
                Event::Failed(_) => return self.grounded(Found::NotSearched, todo),
                _ => {}
            }
        }
    }

    /// What the answer may rest on is known: say so and ask for the answer.
    fn grounded(&mut self, found: Found<'_>, todo: &mut Vec<Effect>) {
        self.prompt = self.spec.prompt.build(found);
        self.announce(self.prompt.citations.clone(), todo);
        self.generate(todo);
    }

    fn announce(&mut self, citations: Vec<Citation>, todo: &mut Vec<Effect>) {
        self.emit(TurnEvent::Retrieved { citations }, todo);
    }

    fn generate(&mut self, todo: &mut Vec<Effect>) {
        let Some(prefix) = self.said.prefix() else {
            let message = "the answer broke off within a tool call; send the request again";
            return self.end_with(TurnEvent::Failed(Failure::new(ErrorCode::Unavailable, message)), todo);
        };
        let job = part(&self.spec.job, 'g', self.jobs);
        let again = self.jobs > 0;
        self.jobs += 1;
        let mut sampling = self.spec.sampling.clone();
        sampling.max_tokens = sampling.max_tokens.saturating_sub(self.tokens);
        let body = InferenceJob {
            messages: self.prompt.messages.clone(),
            prefix,
            sampling,
            priority: if again { self.spec.priority.max(Priority::Retry) } else { self.spec.priority },
            weight: self.spec.weight,
            tools: self.spec.tools.clone(),
            thinking: self.spec.thinking,
        };
        // Whatever broke the answer off may have happened to that worker.
        let worker = self.spec.worker.clone().filter(|_| !again);
        self.phase = Phase::Generating(Generation::new(job.clone(), self.tokens, worker.is_some()));
        todo.push(Effect::Infer { job, deadline: self.spec.deadline, body: Box::new(body), worker });
    }

    fn frames(&mut self, events: Vec<Event>, now: Timestamp, todo: &mut Vec<Effect>) {
        for event in events {
            match event {
                Event::Started { worker, model, prompt_tokens } => {
                    self.prompt_tokens.get_or_insert(prompt_tokens);
                    todo.push(Effect::Started { worker, model });
                }
                Event::Token { text, tokens, logprobs } => self.token(Piece { text, tokens, logprobs }, now, todo),
                Event::Aside(aside) => self.aside(aside, now, todo),
                Event::Finished { reason, usage } => return self.finished(reason, usage, todo),
                Event::Failed(failure) => return self.end_with(TurnEvent::Failed(failure), todo),
                Event::Retrieved(_) | Event::Ingested(_) | Event::Deleted | Event::Documents { .. } => {}
            }
            if !matches!(self.phase, Phase::Generating(_)) {
                return;
            }
        }
    }

    fn token(&mut self, piece: Piece, now: Timestamp, todo: &mut Vec<Effect>) {
        let Piece { text, tokens, logprobs } = piece;
        self.said.token(&text);
        self.generated(tokens, !text.is_empty(), now);
        if !text.is_empty() || !logprobs.is_empty() {
            self.emit(TurnEvent::Token { text, logprobs }, todo);
        }
        self.bound(todo);
    }

    fn aside(&mut self, aside: Aside, now: Timestamp, todo: &mut Vec<Effect>) {
        let shown = self.spec.shows_asides;
        self.said.aside(&aside, shown);
        self.generated(aside.tokens, true, now);
        if shown && !(aside.reasoning.is_empty() && aside.calls.is_empty()) {
            self.emit(TurnEvent::Aside { reasoning: aside.reasoning, calls: aside.calls }, todo);
        }
        self.bound(todo);
    }

    fn generated(&mut self, tokens: u32, something: bool, now: Timestamp) {
        self.tokens = self.tokens.saturating_add(tokens);
        if let Phase::Generating(generation) = &mut self.phase {
            generation.showed(something, now);
        }
    }

    fn bound(&mut self, todo: &mut Vec<Effect>) {
        let most = (self.spec.sampling.max_tokens as usize).saturating_mul(BYTES_PER_TOKEN);
        if self.said.bytes > most {
            self.cancel(todo);
            self.complete(FinishReason::Length, todo);
        }
    }

    fn finished(&mut self, reason: FinishReason, usage: Usage, todo: &mut Vec<Effect>) {
        if let Phase::Generating(generation) = &self.phase {
            self.tokens = generation.tokens_before.saturating_add(usage.completion_tokens).max(self.tokens);
        }
        self.prompt_tokens.get_or_insert(usage.prompt_tokens);
        self.complete(reason, todo);
    }

    /// The stream broke: another job continues after what the customer has seen.
    fn restart(&mut self, todo: &mut Vec<Effect>) {
        self.cancel(todo);
        if self.tokens >= self.spec.sampling.max_tokens {
            self.complete(FinishReason::Length, todo);
        } else if self.jobs > MAX_RESTARTS {
            let message = "the answer broke off too often; try again later";
            self.end_with(TurnEvent::Failed(Failure::new(ErrorCode::EngineFailed, message)), todo);
        } else {
            self.generate(todo);
        }
    }

    fn lost(&mut self, now: Timestamp, todo: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Generating(_) => self.restart(todo),
            Phase::Retrieving(_) => {
                self.cancel(todo);
                match &self.spec.knowledge {
                    Some(knowledge) if self.searches <= MAX_RESTARTS && now < self.spec.retrieval_deadline => {
                        self.search(knowledge.job(&self.spec.lang), todo)
                    }
                    _ => self.grounded(Found::NotSearched, todo),
                }
            }
            Phase::New | Phase::Committing(_) | Phase::Done => {}
        }
    }

    /// The broker may have taken the job all the same, so it is cancelled.
    fn publish_failed(&mut self, failed: &JobId, failure: Failure, todo: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Retrieving(job) if job == failed => {
                self.cancel(todo);
                self.grounded(Found::NotSearched, todo)
            }
            Phase::Generating(generation) if generation.job == *failed => {
                self.cancel(todo);
                self.end_with(TurnEvent::Failed(failure), todo)
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: Timestamp, todo: &mut Vec<Effect>) {
        if now >= self.spec.deadline {
            return self.fail(deadline_exceeded(), todo);
        }
        if self.wake_at().is_some_and(|due| now >= due) {
            match self.phase {
                Phase::Retrieving(_) => {
                    self.cancel(todo);
                    self.grounded(Found::NotSearched, todo);
                }
                Phase::Generating(_) => self.restart(todo),
                Phase::New | Phase::Committing(_) | Phase::Done => {}
            }
        }
    }

    /// What was shown is the answer; if that is nothing, nothing is stored and a repeat of the message is answered anew.
    fn stop(&mut self, todo: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::New | Phase::Retrieving(_) | Phase::Generating(_)) {
            self.cancel(todo);
            if self.emitted == 0 {
                self.announce(Vec::new(), todo);
            }
            if self.said.is_empty() {
                let answer = self.answer(FinishReason::Cancelled);
                return self.end_with(answer.event(), todo);
            }
            self.complete(FinishReason::Cancelled, todo);
        }
    }

    fn fail(&mut self, failure: Failure, todo: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::New | Phase::Retrieving(_) | Phase::Generating(_)) {
            self.cancel(todo);
            self.end_with(TurnEvent::Failed(failure), todo);
        }
    }

    fn cancel(&self, todo: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Retrieving(job) | Phase::Generating(Generation { job, .. }) => {
                todo.push(Effect::Cancel(job.clone()))
            }
            Phase::New | Phase::Committing(_) | Phase::Done => {}
        }
    }

    /// The answer is whole: it is shown as such once it is stored.
    fn complete(&mut self, reason: FinishReason, todo: &mut Vec<Effect>) {
        let answer = self.answer(reason);
        self.phase = Phase::Committing(answer.event());
        todo.push(Effect::Commit(answer));
    }

    fn answer(&self, reason: FinishReason) -> Answer {
        let usage = Usage { prompt_tokens: self.prompt_tokens.unwrap_or(0), completion_tokens: self.tokens };
        let citations = cited(&self.said.text, &self.prompt.citations);
        let Said { text, reasoning, calls, .. } = &self.said;
        let (text, reasoning, tool_calls) = (text.clone(), reasoning.clone(), calls.clone());
        Answer { text, reason, usage, citations, reasoning, tool_calls, last_seq: self.emitted }
    }

    fn committed(&mut self, failure: Option<Failure>, todo: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Committing(event) => self.end_with(failure.map_or(event, TurnEvent::Failed), todo),
            other => self.phase = other,
        }
    }

    fn end_with(&mut self, event: TurnEvent, todo: &mut Vec<Effect>) {
        self.phase = Phase::Done;
        self.emit(event, todo);
    }

    fn emit(&mut self, event: TurnEvent, todo: &mut Vec<Effect>) {
        self.emitted += 1;
        todo.push(Effect::Emit(event));
    }
}

/// The id of a turn's `n`th job of a kind, so that one id finds all of a turn's logs; `turn` is from [`JobId::from_uuid`].
fn part(turn: &JobId, kind: char, n: u32) -> JobId {
    JobId::parse(format!("{turn}.{kind}{n}")).unwrap_or_else(|_| turn.clone())
}

/// What a turn is told that nobody read.
pub(crate) fn unread() -> Failure {
    Failure::new(ErrorCode::Unavailable, "nobody was reading; send the message again")
}

fn deadline_exceeded() -> Failure {
    Failure::new(ErrorCode::DeadlineExceeded, "the answer was not complete in time; try again later")
}

#[cfg(test)]
mod tests;
