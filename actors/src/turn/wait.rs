//! How long the model is waited for, and what the wait says of it.

use super::Patience;
use crate::breaker::Verdict;
use protocol::Timestamp;

/// The wait of one turn, from its first inference job to its first token.
#[derive(Debug, Default)]
pub(super) struct Wait {
    asked: Option<Timestamp>,
    has_started: bool,
    has_spoken: bool,
    is_judged: bool,
}

impl Wait {
    /// The model is asked; to be asked again changes nothing for who waits.
    pub fn ask(&mut self, now: Timestamp) {
        self.asked.get_or_insert(now);
    }

    /// A worker has begun.
    pub fn started(&mut self, patience: Patience, now: Timestamp) -> Option<Verdict> {
        let verdict = self.late(patience, now);
        self.has_started = true;
        verdict
    }

    /// A token has come.
    pub fn spoke(&mut self, patience: Patience, now: Timestamp) -> Option<Verdict> {
        let late = self.late(patience, now);
        (self.has_started, self.has_spoken) = (true, true);
        late.or_else(|| self.judge(Verdict::Good))
    }

    /// The model will not answer.
    pub fn failed(&mut self) -> Option<Verdict> {
        self.asked.and_then(|_| self.judge(Verdict::Failed))
    }

    /// What has become too late by `now`, told once.
    pub fn late(&mut self, patience: Patience, now: Timestamp) -> Option<Verdict> {
        let is_past = |ms: u64| self.asked.is_some_and(|asked| ms > 0 && now >= asked.after_ms(ms));
        if self.has_spoken {
            None
        } else if is_past(patience.first_token_ms) {
            self.judge(Verdict::FirstToken)
        } else if !self.has_started && is_past(patience.queue_wait_ms) {
            self.judge(Verdict::QueueWait)
        } else {
            None
        }
    }

    /// When nobody waits any longer.
    pub fn over_at(&self, patience: Patience) -> Option<Timestamp> {
        let limit = Some(patience.give_up_ms).filter(|ms| *ms > 0 && !self.has_spoken)?;
        Some(self.asked?.after_ms(limit))
    }

    /// When [`Wait::late`] has something to tell, unless a token comes before.
    pub fn late_at(&self, patience: Patience) -> Option<Timestamp> {
        let asked = self.asked.filter(|_| !self.is_judged && !self.has_spoken)?;
        let queue_wait = Some(patience.queue_wait_ms).filter(|_| !self.has_started);
        let limits = queue_wait.into_iter().chain([patience.first_token_ms]);
        limits.filter(|ms| *ms > 0).min().map(|ms| asked.after_ms(ms))
    }

    fn judge(&mut self, verdict: Verdict) -> Option<Verdict> {
        (!std::mem::replace(&mut self.is_judged, true)).then_some(verdict)
    }
}
