//! Answers that are whole at once, without the model.
//!
//! Such an answer is told once it is stored, so that whoever takes the turn over before that decides anew, and not in the
//! middle of somebody else's words.

use super::{Given, Turn, io::Effect};
use protocol::{Citation, FaqMatch, FinishReason, Origin, TurnEvent};

impl Turn {
    /// Ends the turn with an answer that is not the model's.
    pub(super) fn give(&mut self, given: Given, todo: &mut Vec<Effect>) {
        if self.emitted == 0 {
            self.untold.push(TurnEvent::Retrieved { citations: given.citations.clone() });
        }
        self.untold.push(TurnEvent::token(&given.text));
        self.said.say(&given.text);
        self.given = Some(given);
        self.complete(FinishReason::Stop, todo);
    }

    /// A curated answer, word by word.
    pub(super) fn curated(&self, faq: &FaqMatch) -> Given {
        Given { text: faq.answer.clone(), citations: vec![self.cite(faq)], origin: Origin::Faq, degraded: false }
    }

    /// The curated answer as the passage that was announced, or one more.
    fn cite(&self, faq: &FaqMatch) -> Citation {
        let announced = &self.prompt.citations;
        let is_same = |c: &&Citation| c.document == faq.document && c.title == faq.question && c.passage == faq.answer;
        announced.iter().find(is_same).cloned().unwrap_or_else(|| Citation {
            number: announced.iter().map(|c| c.number).max().unwrap_or_default() + 1,
            document: faq.document.clone(),
            title: faq.question.clone(),
            passage: faq.answer.clone(),
            score: faq.score,
        })
    }
}
