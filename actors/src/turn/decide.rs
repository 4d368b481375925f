//! What is done with what retrieval has found.

use super::{Given, Turn, io::Effect};
use protocol::{FaqMatch, Origin, Passage, Retrieved, Timestamp};

/// A curated answer that is more likely than not to answer the question is shown to the model, too.
const LIKELY: f32 = 0.5;

impl Turn {
    /// Gives the curated answer if it fits, or says that this is not known, or asks the model.
    pub(super) fn decide(&mut self, found: Retrieved, now: Timestamp, todo: &mut Vec<Effect>) {
        let Retrieved { mut passages, faq, confidence, version, vector } = found;
        let policy = &self.spec.policy;
        let likely = faq.as_ref().map_or(0.0, |faq| faq.confidence);
        let is_told = |faq: &FaqMatch| policy.told.as_ref() == Some(&faq.answer);
        let is_right = policy.faq_confidence.is_some_and(|least| likely >= least);
        if let Some(faq) = faq.as_ref().filter(|faq| is_right && !is_told(faq)) {
            return self.give(self.curated(faq), todo);
        }
        let is_unknown = |below: f32| confidence.is_some_and(|confidence| confidence.max(likely) < below);
        if let Some(abstention) = policy.abstention.as_ref().filter(|abstention| is_unknown(abstention.below)) {
            let (text, citations, degraded) = (abstention.text.clone(), Vec::new(), false);
            return self.give(Given { text, citations, origin: Origin::Abstained, degraded }, todo);
        }
        if let Some(faq) = faq.as_ref().filter(|_| likely >= LIKELY) {
            put_first(&mut passages, faq);
        }
        self.faq = faq;
        if self.spec.recalls {
            return self.recall_with(passages, version, vector, todo);
        }
        self.grounded(&passages, now, todo);
    }
}

/// The curated answer as the first passage, unless it is among them.
fn put_first(passages: &mut Vec<Passage>, faq: &FaqMatch) {
    let FaqMatch { document, chunk, question, answer, .. } = faq;
    let is_it = |p: &Passage| p.document == *document && p.title == *question && p.text == *answer;
    if passages.iter().any(is_it) {
        return;
    }
    let score = passages.iter().map(|passage| passage.score).fold(0.0, f32::max);
    let (document, chunk, title, text) = (document.clone(), *chunk, question.clone(), answer.clone());
    passages.insert(0, Passage { document, chunk, title, text, score });
}
