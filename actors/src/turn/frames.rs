//! What a frame of the answer adds to the turn.

use super::{BYTES_PER_TOKEN, Phase, Turn, io::Effect, judge};
use protocol::{Aside, Event, Failure, FinishReason, Timestamp, TokenLogprob, TurnEvent, Usage};

/// What a frame adds to the answer.
struct Piece {
    text: String,
    tokens: u32,
    logprobs: Vec<TokenLogprob>,
}

impl Turn {
    /// Takes the frames of the job that is followed.
    pub(super) fn frames(&mut self, events: Vec<Event>, now: Timestamp, todo: &mut Vec<Effect>) {
        for event in events {
            match event {
                Event::Started { worker, model, prompt_tokens } => {
                    self.prompt_tokens.get_or_insert(prompt_tokens);
                    let verdict = self.wait.started(self.spec.patience, now);
                    judge(verdict, todo);
                    todo.push(Effect::Started { worker, model });
                }
                Event::Token { text, tokens, logprobs } => self.token(Piece { text, tokens, logprobs }, now, todo),
                Event::Aside(aside) => self.aside(aside, now, todo),
                Event::Finished { reason, usage } => {
                    let verdict = self.wait.spoke(self.spec.patience, now);
                    judge(verdict, todo);
                    return self.finished(reason, usage, todo);
                }
                Event::Failed(failure) => return self.engine_failed(failure, todo),
                Event::Retrieved(_)
                | Event::Ingested(_)
                | Event::Deleted
                | Event::Documents { .. }
                | Event::Ingest(_)
                | Event::Versions { .. }
                | Event::Unanswered { .. } => {}
            }
            if !matches!(self.phase, Phase::Generating(_)) {
                return;
            }
        }
    }

    /// A request at fault says nothing of the engine.
    pub(super) fn engine_failed(&mut self, failure: Failure, todo: &mut Vec<Effect>) {
        if failure.code.is_retryable() {
            judge(self.wait.failed(), todo);
        }
        self.give_up(failure, todo);
    }

    fn token(&mut self, piece: Piece, now: Timestamp, todo: &mut Vec<Effect>) {
        let Piece { text, tokens, logprobs } = piece;
        let is_something = !text.is_empty();
        let text = self.said.hear(text);
        self.generated(tokens, is_something, now, todo);
        self.show(text, logprobs, todo);
        self.bound(todo);
    }

    fn show(&mut self, text: String, logprobs: Vec<TokenLogprob>, todo: &mut Vec<Effect>) {
        if !text.is_empty() || !logprobs.is_empty() {
            self.emit(TurnEvent::Token { text, logprobs }, todo);
        }
    }

    /// Shows what was held back.
    fn release(&mut self, todo: &mut Vec<Effect>) {
        let rest = self.said.release();
        self.show(rest, Vec::new(), todo);
    }

    fn aside(&mut self, aside: Aside, now: Timestamp, todo: &mut Vec<Effect>) {
        let shown = self.spec.shows_asides;
        self.release(todo);
        self.said.aside(&aside, shown);
        self.generated(aside.tokens, true, now, todo);
        if shown && !(aside.reasoning.is_empty() && aside.calls.is_empty()) {
            self.emit(TurnEvent::Aside { reasoning: aside.reasoning, calls: aside.calls }, todo);
        }
        self.bound(todo);
    }

    fn generated(&mut self, tokens: u32, something: bool, now: Timestamp, todo: &mut Vec<Effect>) {
        judge(self.wait.spoke(self.spec.patience, now), todo);
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
        self.release(todo);
        self.complete(reason, todo);
    }
}
