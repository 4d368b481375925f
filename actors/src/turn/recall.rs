//! Looks into the answer cache, where [`super::Spec::recalls`]: one before the search, one when the model would be asked.

use super::{Given, Phase, Turn, io::Effect};
use crate::cache::Found;
use protocol::{KnowledgeVersion, Passage, QuantizedVector, Timestamp};

impl Turn {
    /// Looks for the very same question.
    pub(super) fn recall(&mut self, todo: &mut Vec<Effect>) {
        todo.push(Effect::Recall(None));
        self.phase = Phase::Recalling(None);
    }

    /// Looks for a question of the same meaning, or waits for another turn's answer to it, before the model is asked.
    pub(super) fn recall_with(
        &mut self,
        passages: Vec<Passage>,
        version: KnowledgeVersion,
        vector: Option<QuantizedVector>,
        todo: &mut Vec<Effect>,
    ) {
        let documents = passages.iter().map(|passage| passage.document.clone()).collect();
        todo.push(Effect::Recall(Some(Found { version, vector, documents })));
        self.phase = Phase::Recalling(Some(passages));
    }

    /// What came of the look.
    pub(super) fn recalled(&mut self, given: Option<Given>, now: Timestamp, todo: &mut Vec<Effect>) {
        let Phase::Recalling(passages) = &mut self.phase else { return };
        let passages = passages.take();
        match (given, passages, &self.spec.knowledge) {
            (Some(given), ..) => self.give(given, todo),
            (None, Some(passages), _) => self.grounded(&passages, now, todo),
            (None, None, Some(knowledge)) => self.search(knowledge.job(&self.spec.lang), todo),
            (None, None, None) => self.grounded(&[], now, todo),
        }
    }
}
