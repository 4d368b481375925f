//! Which model answers now.
//!
//! A session does not choose the model, it learns its name when an answer begins. So an entry is of use only if its model is
//! the one that began an answer last, here or, as young entries prove, elsewhere.

use protocol::Timestamp;

/// A model that has begun no answer for this long is not known to be in use.
const MAX_AGE_MS: u64 = 600_000;

/// The model that began an answer last.
#[derive(Debug, Default)]
pub(super) struct Models {
    last: Option<(String, Timestamp)>,
}

impl Models {
    /// `model` began, or had begun, an answer at `at`.
    pub fn began(&mut self, model: &str, at: Timestamp) {
        match &mut self.last {
            Some((_, last)) if *last > at => {}
            Some((name, last)) if name == model => *last = at,
            _ => self.last = Some((model.to_string(), at)),
        }
    }

    /// Whether an answer that `model` gave at `at` is what would be given now.
    pub fn is_current(&mut self, model: &str, at: Timestamp, now: Timestamp) -> bool {
        self.began(model, at.min(now));
        self.last.as_ref().is_some_and(|(name, last)| name == model && now.ms_from(*last) < MAX_AGE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_model_that_was_replaced_is_not_given() {
        let mut models = Models::default();
        models.began("one", Timestamp(1_000));
        assert!(models.is_current("one", Timestamp(500), Timestamp(2_000)));
        models.began("two", Timestamp(3_000));
        assert!(!models.is_current("one", Timestamp(1_000), Timestamp(3_001)));
        assert!(models.is_current("two", Timestamp(3_000), Timestamp(3_001)));
    }

    #[test]
    fn a_node_that_has_just_begun_trusts_young_answers_only() {
        let mut models = Models::default();
        assert!(!models.is_current("one", Timestamp(0), Timestamp(MAX_AGE_MS)));
        assert!(models.is_current("one", Timestamp(1), Timestamp(MAX_AGE_MS)));
    }

    #[test]
    fn a_change_is_noticed_though_every_question_is_in_the_cache() {
        let mut models = Models::default();
        models.began("one", Timestamp(0));
        assert!(models.is_current("one", Timestamp(0), Timestamp(MAX_AGE_MS - 1)));
        assert!(!models.is_current("one", Timestamp(0), Timestamp(MAX_AGE_MS)));
    }
}
