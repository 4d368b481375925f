//! What `/readyz` answers: every part of the process says whether it can do its work.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The parts of a process and what hinders each; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<RwLock<BTreeMap<&'static str, Option<String>>>>);

impl Health {
    /// `part` can do its work.
    pub fn ready(&self, part: &'static str) {
        self.set(part, None);
    }

    /// `part` cannot do its work, and why, in words for an operator.
    pub fn unready(&self, part: &'static str, why: impl Into<String>) {
        self.set(part, Some(why.into()));
    }

    /// Every part with what hinders it; `None`: it is ready.
    pub fn report(&self) -> BTreeMap<&'static str, Option<String>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every part is ready.
    pub fn is_ready(&self) -> bool {
        self.report().values().all(Option::is_none)
    }

    fn set(&self, part: &'static str, why: Option<String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(part, why);
    }
}
