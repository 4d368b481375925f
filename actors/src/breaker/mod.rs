//! Circuit breakers: a part that is slow or fails is left alone for a while, so that nobody waits for it in vain.
//!
//! [`Breaker`] decides for one part of one tenant; it reads no clock and draws no numbers. [`Breakers`] holds all of a node's.
//!
//! ```text
//!             enough samples, half of them bad
//!   Closed ────────────────────────────────────▶ Open ◀──────┐
//!     ▲                                           │ its time has passed: the next one is a probe
//!     │ as many good probes as are asked for      ▼          │
//!     └─────────────────────────────────────── Probing ──────┘ a bad probe
//! ```

mod book;

pub(crate) use book::{Breakers, Pass};

use protocol::Timestamp;
use std::collections::VecDeque;

/// Whoever is refused while others probe comes back after this time at the earliest.
const PROBE_MS: u64 = 1_000;

/// What a breaker guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The search for passages.
    Retrieval,
    /// The engine behind the shared queue; where there are several, each is a part of its own.
    Inference,
}

impl Part {
    /// Its label: the queue that leads to it.
    pub fn label(self) -> &'static str {
        let queue = match self {
            Part::Retrieval => protocol::topology::RETRIEVAL,
            Part::Inference => protocol::topology::INFERENCE,
        };
        queue.name
    }
}

/// How a part did for one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// In time.
    Good,
    /// The job was not begun in time.
    QueueWait,
    /// The first token did not come in time.
    FirstToken,
    /// No answer, or a failure.
    Failed,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::QueueWait => "queue_wait",
            Verdict::FirstToken => "first_token",
            Verdict::Failed => "failed",
        }
    }
}

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Verdicts that are remembered at most.
    pub samples: usize,
    /// For how many milliseconds they are.
    pub window_ms: u64,
    /// Fewer never open it.
    pub min_samples: usize,
    /// Milliseconds before probes; a fifth more or less by chance. 0: it never opens.
    pub open_ms: u64,
    /// Probes at the same time, and good ones that close it.
    pub probes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Timestamp },
    Probing { running: u32, good: u32 },
}

/// A change of a breaker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened, for that reason.
    Opened(Verdict),
    /// It closed.
    Closed,
}

/// Names the time between two changes in which something was let through; a verdict of an earlier time does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era(u64);

/// The breaker of one part for one tenant.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    state: State,
    era: u64,
    samples: VecDeque<(Timestamp, bool)>,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::Closed, era: 0, samples: VecDeque::new() }
    }

    /// Whether something may pass; else after how many milliseconds to ask again.
    ///
    /// What passes is to be settled exactly once by [`Breaker::settle`].
    pub fn admit(&mut self, now: Timestamp) -> Result<Era, u64> {
        if let State::Open { until } = self.state {
            if now < until {
                return Err(until.ms_from(now));
            }
            self.enter(State::Probing { running: 0, good: 0 });
        }
        if let State::Probing { running, good } = &mut self.state {
            if *running + *good >= self.settings.probes {
                return Err(PROBE_MS);
            }
            *running += 1;
        }
        Ok(Era(self.era))
    }

    /// What passed in `era` has ended; `None`: without a verdict. `chance` is any random number.
    pub fn settle(&mut self, era: Era, verdict: Option<Verdict>, now: Timestamp, chance: u64) -> Option<Change> {
        if era.0 != self.era {
            return None;
        }
        match &mut self.state {
            State::Closed => {
                let verdict = verdict?;
                let is_good = verdict == Verdict::Good;
                self.sample(is_good, now);
                (!is_good && self.is_bad()).then(|| self.open(verdict, now, chance))
            }
            State::Probing { running, good } => {
                *running = running.saturating_sub(1);
                match verdict? {
                    Verdict::Good => {
                        *good += 1;
                        (*good >= self.settings.probes).then(|| self.close())
                    }
                    bad => Some(self.open(bad, now, chance)),
                }
            }
            State::Open { .. } => None,
        }
    }

    /// 1 while open, 0.5 while probing, else 0.
    pub fn level(&self) -> f64 {
        match self.state {
            State::Closed => 0.0,
            State::Probing { .. } => 0.5,
            State::Open { .. } => 1.0,
        }
    }

    fn sample(&mut self, good: bool, now: Timestamp) {
        self.samples.push_back((now, good));
        let (most, age) = (self.settings.samples, self.settings.window_ms);
        while self.samples.len() > most || self.samples.front().is_some_and(|(at, _)| now.ms_from(*at) > age) {
            self.samples.pop_front();
        }
    }

    fn is_bad(&self) -> bool {
        let bad = self.samples.iter().filter(|(_, good)| !good).count();
        self.settings.open_ms > 0 && self.samples.len() >= self.settings.min_samples && 2 * bad >= self.samples.len()
    }

    fn open(&mut self, why: Verdict, now: Timestamp, chance: u64) -> Change {
        let base = self.settings.open_ms;
        let until = now.after_ms(base - base / 5 + chance % (2 * base / 5 + 1));
        self.enter(State::Open { until });
        Change::Opened(why)
    }

    fn close(&mut self) -> Change {
        self.enter(State::Closed);
        Change::Closed
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests;
