//! Every short history of a breaker, and some long ones.

use super::{Breaker, Change, Era, Settings, State, Verdict};
use proptest::prelude::*;
use protocol::Timestamp;

const SETTINGS: Settings = Settings { samples: 4, window_ms: 100, min_samples: 2, open_ms: 50, probes: 2 };

/// A breaker with what passed and is not settled yet.
#[derive(Clone)]
struct Run {
    breaker: Breaker,
    now: Timestamp,
    passed: Vec<Era>,
}

impl Run {
    fn new() -> Self {
        Self { breaker: Breaker::new(SETTINGS), now: Timestamp(0), passed: Vec::new() }
    }

    fn admit(&mut self) -> bool {
        let before = self.breaker.state;
        let admitted = self.breaker.admit(self.now);
        match (before, &admitted) {
            (State::Closed, answer) => assert!(answer.is_ok(), "a closed one lets everything pass"),
            (State::Open { until }, Err(wait)) => assert!(self.now < until && *wait == until.0 - self.now.0),
            (State::Open { until }, Ok(_)) => assert!(self.now >= until, "an open one lets nothing pass"),
            (State::Probing { running, good }, answer) => {
                assert_eq!(answer.is_ok(), running + good < SETTINGS.probes)
            }
        }
        self.passed.extend(admitted);
        self.check();
        admitted.is_ok()
    }

    fn settle(&mut self, at: usize, verdict: Option<Verdict>, chance: u64) -> Option<Change> {
        let (era, before) = (self.passed.remove(at), self.breaker.clone());
        let change = self.breaker.settle(era, verdict, self.now, chance);
        if era.0 != before.era || verdict.is_none() {
            assert_eq!(change, None, "neither the past nor silence changes anything");
        }
        if let Some(Change::Opened(why)) = change {
            let State::Open { until } = self.breaker.state else { panic!("{:?}", self.breaker) };
            assert!((40..=60).contains(&until.ms_from(self.now)), "{until:?}");
            assert!(why != Verdict::Good);
        }
        if let (State::Probing { .. }, Some(Change::Closed)) = (before.state, change) {
            assert_eq!(verdict, Some(Verdict::Good));
        }
        self.check();
        change
    }

    /// Whoever probes is known, and there are never too many.
    fn check(&self) {
        if let State::Probing { running, good } = self.breaker.state {
            let current = self.passed.iter().filter(|era| era.0 == self.breaker.era).count();
            assert_eq!(running as usize, current);
            assert!(running + good <= SETTINGS.probes && good < SETTINGS.probes);
        }
        assert!(self.breaker.samples.len() <= SETTINGS.samples);
    }

    /// From everywhere a part that works again is used again.
    fn recovers(mut self) {
        (0..self.passed.len()).for_each(|_| {
            self.settle(0, None, 0);
        });
        self.now = self.now.after_ms(60);
        for _ in 0..SETTINGS.probes {
            assert!(self.admit());
            self.settle(0, Some(Verdict::Good), 0);
        }
        assert_eq!(self.breaker.state, State::Closed);
    }

    /// Every next step, to the given depth; returns how many states were seen.
    fn explore(&self, depth: u32) -> u64 {
        self.clone().recovers();
        if depth == 0 {
            return 1;
        }
        let mut seen = 1;
        let mut step = |change: &dyn Fn(&mut Run)| {
            let mut next = self.clone();
            change(&mut next);
            seen += next.explore(depth - 1);
        };
        step(&|run| {
            run.admit();
        });
        for ms in [30, 60] {
            step(&|run| run.now = run.now.after_ms(ms));
        }
        for at in 0..self.passed.len().min(3) {
            for verdict in [None, Some(Verdict::Good), Some(Verdict::Failed)] {
                step(&|run| {
                    run.settle(at, verdict, 7);
                });
            }
        }
        seen
    }
}

#[test]
fn every_short_history_keeps_the_rules() {
    let seen = Run::new().explore(8);
    assert!(seen > 100_000, "{seen}");
}

#[test]
fn half_of_enough_samples_opens_it_and_good_probes_close_it() {
    let mut run = Run::new();
    let judge = |run: &mut Run, verdict| {
        assert!(run.admit());
        run.settle(0, Some(verdict), 10)
    };
    assert_eq!(judge(&mut run, Verdict::QueueWait), None, "one is not enough");
    run.now = Timestamp(200);
    assert_eq!(judge(&mut run, Verdict::Good), None, "the first one is forgotten");
    assert_eq!(judge(&mut run, Verdict::FirstToken), Some(Change::Opened(Verdict::FirstToken)));
    assert_eq!(run.breaker.admit(run.now), Err(50), "four fifths and ten by chance");
    run.now = run.now.after_ms(50);
    assert!(run.admit() && run.admit() && !run.admit(), "two probes");
    assert_eq!(run.breaker.level(), 0.5);
    assert_eq!(run.settle(0, Some(Verdict::Good), 0), None);
    assert_eq!(run.settle(0, Some(Verdict::Good), 0), Some(Change::Closed));
    assert_eq!(run.breaker.level(), 0.0);
}

#[test]
fn one_without_a_time_to_be_open_never_opens() {
    let mut breaker = Breaker::new(Settings { open_ms: 0, ..SETTINGS });
    for _ in 0..50 {
        let era = breaker.admit(Timestamp(0)).unwrap();
        assert_eq!(breaker.settle(era, Some(Verdict::Failed), Timestamp(0), 0), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn long_histories_keep_the_rules(steps in prop::collection::vec((0u8..8, 0usize..8, any::<u64>()), 0..300)) {
        let mut run = Run::new();
        for (what, at, chance) in steps {
            match what {
                0..=2 => { run.admit(); },
                3 => run.now = run.now.after_ms(chance % 80),
                _ if run.passed.is_empty() => {}
                4 => { run.settle(at % run.passed.len(), None, chance); },
                5 => { run.settle(at % run.passed.len(), Some(Verdict::QueueWait), chance); },
                _ => { run.settle(at % run.passed.len(), Some(Verdict::Good), chance); },
            }
        }
        run.recovers();
    }
}
