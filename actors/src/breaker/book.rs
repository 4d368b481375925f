//! The breakers of a node.

use super::{Breaker, Change, Era, Part, Settings, Verdict};
use crate::Config;
use protocol::{ErrorCode, Failure, TenantId};
use runtime::{Clock, Random, metric};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Verdicts that are remembered, for how long, and how many it takes to open.
const SAMPLES: usize = 20;
const WINDOW_MS: u64 = 60_000;
const MIN_SAMPLES: usize = 5;
/// Turns that are let through to see whether the part works again.
const PROBES: u32 = 3;

type Key = (TenantId, Part);

/// One breaker for each tenant and part: as many as there are tenants, times two.
pub(crate) struct Breakers {
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    all: Mutex<HashMap<Key, Breaker>>,
}

impl Breakers {
    pub fn new(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Arc<Self> {
        let settings = Settings {
            samples: SAMPLES,
            window_ms: WINDOW_MS,
            min_samples: MIN_SAMPLES,
            open_ms: config.breaker_open_ms,
            probes: PROBES,
        };
        Arc::new(Self { settings, clock, random, all: Mutex::default() })
    }

    /// Whether a turn of `tenant` may use `part` now; the failure says when to try again.
    pub fn admit(self: &Arc<Self>, tenant: &TenantId, part: Part) -> Result<Pass, Failure> {
        let (key, now) = ((tenant.clone(), part), self.clock.now());
        let mut all = self.lock();
        let breaker = all.entry(key.clone()).or_insert_with(|| Breaker::new(self.settings));
        let level = breaker.level();
        let admitted = breaker.admit(now);
        if breaker.level() != level {
            show(&key, breaker.level());
        }
        match admitted {
            Ok(era) => Ok(Pass { breakers: self.clone(), key, era, is_settled: false }),
            Err(wait_ms) => Err(refusal(part, wait_ms)),
        }
    }

    fn settle(&self, key: &Key, era: Era, verdict: Option<Verdict>) {
        let (now, chance) = (self.clock.now(), self.random.seed());
        let mut all = self.lock();
        let Some(breaker) = all.get_mut(key) else { return };
        let Some(change) = breaker.settle(era, verdict, now, chance) else { return };
        show(key, breaker.level());
        drop(all);
        let (tenant, part) = (key.0.to_string(), key.1.label());
        match change {
            Change::Closed => tracing::info!(tenant, part, "works again: turns use it"),
            Change::Opened(why) => {
                tracing::warn!(tenant, part, why = why.name(), "too slow or failing: turns do without it for a while");
                metrics::counter!(metric::BREAKER_OPENED, "tenant" => tenant, "engine" => part, "why" => why.name())
                    .increment(1);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Breaker>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show((tenant, part): &Key, level: f64) {
    metrics::gauge!(metric::BREAKER, "tenant" => tenant.to_string(), "engine" => part.label()).set(level);
}

fn refusal(part: Part, wait_ms: u64) -> Failure {
    let seconds = wait_ms.div_ceil(1_000);
    let what = match part {
        Part::Retrieval => "the knowledge base",
        Part::Inference => "the model",
    };
    Failure::new(ErrorCode::Overloaded, format!("{what} is too slow or failing now; try again in {seconds} s"))
}

/// The right of one turn to use one part once; dropped without a verdict, it does not count.
pub(crate) struct Pass {
    breakers: Arc<Breakers>,
    key: Key,
    era: Era,
    is_settled: bool,
}

impl Pass {
    /// How the part did.
    pub fn settle(mut self, verdict: Verdict) {
        self.is_settled = true;
        self.breakers.settle(&self.key, self.era, Some(verdict));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.is_settled {
            self.breakers.settle(&self.key, self.era, None);
        }
    }
}
