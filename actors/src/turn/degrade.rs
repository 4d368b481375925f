//! What a turn says when the model, or retrieval, is out of reach.
//!
//! Where [`Fallback`] is given and nothing was said yet, the turn does not fail: it gives the curated answer that retrieval
//! found, if that fits the question well enough, or says plainly that there is no answer just now and offers a person. Such
//! an answer is stored and told like any other, and marked. It is told once it is stored, so that whoever takes the turn over
//! before that has the model's answer to begin, and not the rest of an apology.

use super::{Fallback, Phase, Turn, io::Effect};
use protocol::{Citation, Failure, FaqMatch, FinishReason, TurnEvent};

impl Turn {
    /// Ends the turn without the model where it may, else with `failure`.
    pub(super) fn give_up(&mut self, failure: Failure, todo: &mut Vec<Effect>) {
        let is_open = matches!(self.phase, Phase::New | Phase::Retrieving(_) | Phase::Generating(_));
        let fallback = self.spec.fallback.filter(|_| failure.code.is_retryable() && self.said.is_empty());
        match fallback {
            Some(fallback) if is_open => self.degrade(fallback, todo),
            _ => self.end_with(TurnEvent::Failed(failure), todo),
        }
    }

    fn degrade(&mut self, fallback: Fallback, todo: &mut Vec<Effect>) {
        let curated = self.faq.take().filter(|faq| faq.score >= fallback.faq_score);
        let (text, citations) = match curated {
            Some(faq) => {
                let citation = self.cite(&faq);
                (faq.answer, vec![citation])
            }
            None => (fallback.apology.to_string(), Vec::new()),
        };
        if self.emitted == 0 {
            self.announce(citations.clone(), todo);
        }
        self.said.token(&text);
        (self.degraded, self.untold) = (Some(citations), Some(text));
        self.complete(FinishReason::Stop, todo);
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
