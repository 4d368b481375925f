//! A turn's state machine: pure, so that every order of events can be tried.
//!
//! [`Turn::on`] takes what happened and the time, and returns what to do about it. It reads no clock and does no I/O. Whatever
//! arrives, in whatever order: numbers of emitted events have no gap, at most one of them is a last event and nothing
//! follows it, and the texts of the emitted tokens, joined, are the text of `Finished`; so are the pieces of reasoning and of
//! calls, where [`Spec::shows_asides`]. The answer's size, and so its
//! log's, is bounded by [`Spec::sampling`]'s `max_tokens` times [`BYTES_PER_TOKEN`].
//!
//! ```text
//!        Accepted              passages                         whole, stopped or cut
//!  New ────────────▶ Retrieving ──────────────▶ Generating ─────────────▶ Committing
//!   │                 │  ▲  │ Lost              │  ▲  │ torn, stalled, Lost   │
//!   │                 │  └──┘                   │  └──┘                       │ Committed,
//!   │ Fail            │ Fail, Abandoned,        │ Fail, Abandoned,            │ CommitFailed
//!   ▼                 ▼ Stop                    ▼ Stop before any text        ▼
//!   └─────────────────┴──────────▶ Done ◀───────┴─────────────────────────────┘
//! ```
//!
//! From `New` and `Retrieving` a turn goes straight to `Committing` where the answer is whole at once ([`Given`]): a courtesy, a
//! curated answer, or the word that this is not known ([`Policy`]). Such an answer is shown once it is stored, all of it.
//!
//! Where [`Spec::recalls`], a turn looks into the answer cache before `Retrieving`, and again before `Generating`; what it finds
//! there is its answer. Without knowledge a turn goes from `New` to `Generating`. `Lost` in `Retrieving` searches again until the deadline of
//! retrieval; a break in `Generating` asks another job to continue after what has been generated.
//!
//! When retrieval has no answer, or the model none in time (see [`Patience`]), is refused or fails, the turn gives up: with
//! a [`Fallback`], and before its first word, it goes to `Committing` with a degraded answer, else to `Done` with a failure.
//! It never asks the model about what could not be looked up.

mod decide;
mod degrade;
mod frames;
mod generation;
mod given;
mod io;
mod markers;
mod recall;
mod resume;
mod said;
mod trouble;
mod wait;

pub use io::{Abstention, Answer, Effect, Fallback, Given, Input, Knowledge, Patience, Policy, Spec};

use crate::{
    breaker::{Part, Verdict},
    cited::cited,
    prompt::Built,
};
use generation::{Generation, Taken};
use protocol::{
    Citation, ErrorCode, Event, Failure, FaqMatch, FinishReason, InferenceJob, JobId, Origin, Passage, Priority, Reply,
    RetrievalJob, Timestamp, TurnEvent, Usage,
};
use said::Said;
use wait::Wait;

/// A worker that sends more text than this for each token it may generate is cut off.
pub const BYTES_PER_TOKEN: usize = 256;
/// An answer that breaks off more often than this fails.
pub const MAX_RESTARTS: u32 = 5;

enum Phase {
    New,
    /// In the answer cache: before the search, or with what that has found.
    Recalling(Option<Vec<Passage>>),
    Retrieving(JobId),
    Generating(Generation),
    Committing(TurnEvent),
    Done,
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
    /// The curated answer that retrieval found.
    faq: Option<FaqMatch>,
    wait: Wait,
    /// The answer, where it is not the model's.
    given: Option<Given>,
    /// Its events until it is stored.
    untold: Vec<TurnEvent>,
    /// Retrieval and inference jobs so far.
    searches: u32,
    jobs: u32,
}

impl Turn {
    /// A turn that awaits [`Input::Accepted`].
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            phase: Phase::New,
            prompt: Built::default(),
            emitted: 0,
            said: Said::default(),
            tokens: 0,
            prompt_tokens: None,
            faq: None,
            wait: Wait::default(),
            given: None,
            untold: Vec::new(),
            searches: 0,
            jobs: 0,
        }
    }

    /// Whether the last event has been emitted.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Whether there is neither an answer nor a failure yet.
    fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Committing(_) | Phase::Done)
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn wake_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Recalling(_) => Some(self.spec.deadline),
            Phase::Retrieving(_) => Some(self.spec.retrieval_deadline.min(self.spec.deadline)),
            Phase::Generating(generation) => {
                let (patience, stall_ms) = (self.spec.patience, self.spec.stall_ms);
                let ends = [generation.stalls_at(stall_ms), self.wait.late_at(patience), self.gives_up_at()];
                ends.into_iter().flatten().chain([self.spec.deadline]).min()
            }
            Phase::New | Phase::Committing(_) | Phase::Done => None,
        }
    }

    /// Takes what happened at `now` and returns what to do, in order.
    pub fn on(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let mut todo = Vec::new();
        match input {
            Input::Accepted => self.accept(now, &mut todo),
            Input::Recalled(given) => self.recalled(given, now, &mut todo),
            Input::Reply(reply) => self.reply(reply, now, &mut todo),
            Input::Lost => self.lost(now, &mut todo),
            Input::PublishFailed { job, failure } => self.publish_failed(&job, failure, &mut todo),
            Input::Refused { job, failure } => self.refused(&job, failure, &mut todo),
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
            return self.give_up(deadline_exceeded(), todo);
        }
        if self.goes_on(now, todo) {
            return;
        }
        if let Some(reply) = self.spec.reply.take() {
            return self.give(reply, todo);
        }
        match &self.spec.knowledge {
            None => self.grounded(&[], now, todo),
            Some(_) if self.spec.recalls => self.recall(todo),
            Some(knowledge) => self.search(knowledge.job(&self.spec.lang), todo),
        }
    }

    fn search(&mut self, body: RetrievalJob, todo: &mut Vec<Effect>) {
        let body = RetrievalJob { wants_vector: self.spec.recalls, ..body };
        let job = self.part('r', self.searches);
        self.searches += 1;
        let deadline = self.spec.retrieval_deadline.min(self.spec.deadline);
        todo.push(Effect::Retrieve { job: job.clone(), deadline, body });
        self.phase = Phase::Retrieving(job);
    }

    fn reply(&mut self, reply: Reply, now: Timestamp, todo: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Retrieving(job) if *job == reply.job => self.retrieved(reply.events, now, todo),
            Phase::Generating(generation) => match generation.take(reply) {
                Taken::Events(events) => self.frames(events, now, todo),
                Taken::Torn => self.restart(now, todo),
            },
            _ => {}
        }
    }

    fn retrieved(&mut self, events: Vec<Event>, now: Timestamp, todo: &mut Vec<Effect>) {
        for event in events {
            match event {
                Event::Retrieved(found) => {
                    todo.push(Effect::Judge(Part::Retrieval, Verdict::Good));
                    return self.decide(found, now, todo);
                }
                Event::Failed(_) => return self.unsearched(true, todo),
                _ => {}
            }
        }
    }

    /// There is no word from retrieval; whether that `counts` against it.
    fn unsearched(&mut self, counts: bool, todo: &mut Vec<Effect>) {
        if counts {
            todo.push(Effect::Judge(Part::Retrieval, Verdict::Failed));
        }
        let message = "the knowledge base could not be looked up; try again shortly";
        self.give_up(Failure::new(ErrorCode::Unavailable, message), todo);
    }

    /// What the answer may rest on is known: say so and ask for the answer.
    fn grounded(&mut self, passages: &[Passage], now: Timestamp, todo: &mut Vec<Effect>) {
        self.rests_on(passages);
        self.announce(self.prompt.citations.clone(), todo);
        self.generate(now, todo);
    }

    /// The prompt is built, and the answer may refer to the passages that found room in it.
    fn rests_on(&mut self, passages: &[Passage]) {
        self.prompt = self.spec.prompt.build(passages);
        if self.spec.checks_markers {
            self.said.checks(&self.prompt.citations);
        }
    }

    fn announce(&mut self, citations: Vec<Citation>, todo: &mut Vec<Effect>) {
        self.emit(TurnEvent::Retrieved { citations }, todo);
    }

    fn generate(&mut self, now: Timestamp, todo: &mut Vec<Effect>) {
        // What is held back comes again.
        self.said.forget();
        let Some(prefix) = self.said.prefix() else {
            let message = "the answer broke off within a tool call; send the request again";
            return self.end_with(TurnEvent::Failed(Failure::new(ErrorCode::Unavailable, message)), todo);
        };
        if self.said.is_empty() {
            self.wait.ask(now);
        }
        let job = self.part('g', self.jobs);
        let again = self.jobs > 0 || self.spec.run > 0;
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

    /// What was shown is the answer; if that is nothing, nothing is stored and a repeat of the message is answered anew.
    fn stop(&mut self, todo: &mut Vec<Effect>) {
        if self.is_open() {
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
        if self.is_open() {
            self.cancel(todo);
            self.end_with(TurnEvent::Failed(failure), todo);
        }
    }

    fn cancel(&self, todo: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Retrieving(job) | Phase::Generating(Generation { job, .. }) => {
                todo.push(Effect::Cancel(job.clone()))
            }
            Phase::New | Phase::Recalling(_) | Phase::Committing(_) | Phase::Done => {}
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
        let Said { text, reasoning, calls, .. } = &self.said;
        let (citations, origin, degraded) = match &self.given {
            Some(given) => (given.citations.clone(), given.origin, given.degraded),
            None => (cited(text, &self.prompt.citations), Origin::Model, false),
        };
        let (text, reasoning, tool_calls) = (text.clone(), reasoning.clone(), calls.clone());
        let last_seq = self.emitted + self.untold.len() as u64;
        Answer { text, reason, usage, citations, reasoning, tool_calls, last_seq, degraded, origin }
    }

    fn committed(&mut self, failure: Option<Failure>, todo: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Committing(event) => {
                let untold = std::mem::take(&mut self.untold);
                if failure.is_none() {
                    untold.into_iter().for_each(|event| self.emit(event, todo));
                }
                self.end_with(failure.map_or(event, TurnEvent::Failed), todo);
            }
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

    /// The id of the turn's `n`th job of a kind, so that one id finds all of a turn's logs; the turn's is from
    /// [`JobId::from_uuid`]. Those of an earlier actor of the turn had other ids.
    fn part(&self, kind: char, n: u32) -> JobId {
        let Spec { job, run, .. } = &self.spec;
        let of_run = if *run == 0 { String::new() } else { format!("{run}-") };
        JobId::parse(format!("{job}.{kind}{of_run}{n}")).unwrap_or_else(|_| job.clone())
    }
}

fn judge(verdict: Option<Verdict>, todo: &mut Vec<Effect>) {
    todo.extend(verdict.map(|verdict| Effect::Judge(Part::Inference, verdict)));
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
