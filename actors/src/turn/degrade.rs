//! What a turn says when the model, or retrieval, is out of reach.
//!
//! Where [`Fallback`] is given and nothing was said yet, the turn does not fail: it gives the curated answer that retrieval
//! found, if that fits the question well enough, or says plainly that there is no answer just now and offers a person. Such
//! an answer is stored and told like any other that is given without the model, and marked.

use super::{Fallback, Given, Turn, io::Effect};
use protocol::{Failure, Origin, TurnEvent};

impl Turn {
    /// Ends the turn without the model where it may, else with `failure`.
    pub(super) fn give_up(&mut self, failure: Failure, todo: &mut Vec<Effect>) {
        let is_open = self.is_open();
        let fallback = self.spec.fallback.filter(|_| failure.code.is_retryable() && self.said.is_empty());
        match fallback {
            Some(fallback) if is_open => self.degrade(fallback, todo),
            _ => self.end_with(TurnEvent::Failed(failure), todo),
        }
    }

    fn degrade(&mut self, fallback: Fallback, todo: &mut Vec<Effect>) {
        let curated = self.faq.take().filter(|faq| faq.confidence >= fallback.faq_confidence);
        let apology = || Given {
            text: fallback.apology.to_string(),
            citations: Vec::new(),
            origin: Origin::Model,
            degraded: true,
        };
        let given = curated.map_or_else(apology, |faq| Given { degraded: true, ..self.curated(&faq) });
        self.give(given, todo);
    }
}
