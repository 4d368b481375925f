//! The frames of one inference job: which are new, and whether any are missing.

use protocol::{Event, JobId, Reply, Timestamp};

/// How far the answer to one job has been read.
pub(super) struct Generation {
    pub job: JobId,
    /// Tokens that earlier jobs of the turn generated.
    pub tokens_before: u32,
    /// When text was last shown; the stream must not pause long after it.
    last_token: Option<Timestamp>,
    attempt: u32,
    /// Which delivery's frames are followed, once there are any.
    delivery: Option<u64>,
    next: u64,
    has_shown: bool,
    /// It went to one worker's own queue first. Some versions of RabbitMQ do not count a crash of that worker as a failed
    /// delivery, so that the next one has the same attempt.
    may_move: bool,
}

/// What is in a batch of frames.
pub(super) enum Taken {
    /// The frames not seen before, possibly none.
    Events(Vec<Event>),
    /// The rest of the stream does not continue what was shown: frames are missing, or another attempt began anew.
    Torn,
}

impl Generation {
    pub fn new(job: JobId, tokens_before: u32, may_move: bool) -> Self {
        Self { job, tokens_before, last_token: None, attempt: 0, delivery: None, next: 0, has_shown: false, may_move }
    }

    /// Takes a batch; frames of other jobs, of older attempts, of a copy of the job and those already seen are dropped.
    pub fn take(&mut self, reply: Reply) -> Taken {
        if reply.job != self.job || reply.attempt < self.attempt {
            return Taken::Events(Vec::new());
        }
        if reply.attempt > self.attempt {
            if self.has_shown {
                return Taken::Torn;
            }
            (self.attempt, self.delivery, self.next) = (reply.attempt, None, 0);
        }
        if !self.follows(&reply) {
            if self.may_move && reply.seq == 0 {
                return Taken::Torn;
            }
            return Taken::Events(Vec::new());
        }
        if reply.seq > self.next {
            return Taken::Torn;
        }
        let seen = usize::try_from(self.next - reply.seq).unwrap_or(usize::MAX);
        let fresh: Vec<Event> = reply.events.into_iter().skip(seen).collect();
        self.next += fresh.len() as u64;
        Taken::Events(fresh)
    }

    /// Whether the batch is of the delivery that is read. Until it has shown text, another that begins takes its place: on
    /// one worker the later of two copies ends the earlier one.
    fn follows(&mut self, reply: &Reply) -> bool {
        if self.delivery == Some(reply.delivery) {
            return true;
        }
        let is_begun_anew = self.delivery.is_none() || (!self.has_shown && reply.seq == 0);
        if is_begun_anew {
            (self.delivery, self.next) = (Some(reply.delivery), 0);
        }
        is_begun_anew
    }

    /// When a pause of `ms` milliseconds after the last token will be over.
    pub fn stalls_at(&self, ms: u64) -> Option<Timestamp> {
        self.last_token.map(|at| at.after_ms(ms))
    }

    /// Tokens came at `now`, and with them `something` that the answer goes on from.
    pub fn showed(&mut self, something: bool, now: Timestamp) {
        self.has_shown |= something;
        self.last_token = Some(now);
    }
}
