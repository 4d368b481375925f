//! What goes wrong: streams that break, jobs that are not taken, instants that pass.

use super::{Effect, MAX_RESTARTS, Phase, Turn, deadline_exceeded, judge};
use protocol::{ErrorCode, Failure, FinishReason, JobId, Timestamp};

impl Turn {
    /// The stream broke: another job continues after what the customer has seen.
    pub(super) fn restart(&mut self, now: Timestamp, todo: &mut Vec<Effect>) {
        self.cancel(todo);
        if self.tokens >= self.spec.sampling.max_tokens {
            self.complete(FinishReason::Length, todo);
        } else if self.jobs > MAX_RESTARTS {
            let message = "the answer broke off too often; try again later";
            self.engine_failed(Failure::new(ErrorCode::EngineFailed, message), todo);
        } else {
            self.generate(now, todo);
        }
    }

    pub(super) fn lost(&mut self, now: Timestamp, todo: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Generating(_) => self.restart(now, todo),
            Phase::Retrieving(_) => {
                self.cancel(todo);
                match &self.spec.knowledge {
                    Some(knowledge) if self.searches <= MAX_RESTARTS && now < self.spec.retrieval_deadline => {
                        self.search(knowledge.job(&self.spec.lang), todo)
                    }
                    _ => self.unsearched(true, todo),
                }
            }
            Phase::New | Phase::Recalling(_) | Phase::Committing(_) | Phase::Done => {}
        }
    }

    /// The broker may have taken the job all the same, so it is cancelled.
    pub(super) fn publish_failed(&mut self, failed: &JobId, failure: Failure, todo: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Retrieving(job) if job == failed => {
                self.cancel(todo);
                self.unsearched(true, todo)
            }
            Phase::Generating(generation) if generation.job == *failed => {
                self.cancel(todo);
                self.engine_failed(failure, todo)
            }
            _ => {}
        }
    }

    pub(super) fn refused(&mut self, refused: &JobId, failure: Failure, todo: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Retrieving(job) if job == refused => self.unsearched(false, todo),
            Phase::Generating(generation) if generation.job == *refused => self.give_up(failure, todo),
            _ => {}
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp, todo: &mut Vec<Effect>) {
        let (is_past, is_over) = (|at: Timestamp| now >= at, self.gives_up_at());
        match &self.phase {
            Phase::Committing(_) | Phase::Done => {}
            Phase::Retrieving(_) if is_past(self.spec.retrieval_deadline) => {
                self.cancel(todo);
                self.unsearched(true, todo);
            }
            Phase::Generating(generation) => {
                let has_stalled = generation.stalls_at(self.spec.stall_ms).is_some_and(is_past);
                judge(self.wait.late(self.spec.patience, now), todo);
                let gives_up = is_over.is_some_and(is_past);
                if gives_up {
                    judge(self.wait.failed(), todo);
                }
                if gives_up || is_past(self.spec.deadline) {
                    self.cancel(todo);
                    self.give_up(deadline_exceeded(), todo);
                } else if has_stalled {
                    self.restart(now, todo);
                }
            }
            Phase::New | Phase::Recalling(_) | Phase::Retrieving(_) if is_past(self.spec.deadline) => {
                self.cancel(todo);
                self.give_up(deadline_exceeded(), todo);
            }
            Phase::New | Phase::Recalling(_) | Phase::Retrieving(_) => {}
        }
    }

    /// When the model is waited for no longer, where something can be said without it.
    pub(super) fn gives_up_at(&self) -> Option<Timestamp> {
        self.spec.fallback.and_then(|_| self.wait.over_at(self.spec.patience))
    }
}
