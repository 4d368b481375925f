//! A turn that another actor began: it goes on after what was shown.

use super::{Effect, Phase, Spec, Turn};
use protocol::{Citation, FinishReason, Passage, Timestamp, TurnEvent};

impl Turn {
    /// A turn of which `shown` was shown already, made of `tokens` tokens; it awaits [`super::Input::Accepted`].
    pub fn resumed(spec: Spec, shown: &[TurnEvent], tokens: u32) -> Self {
        let mut turn = Self::new(spec);
        (turn.emitted, turn.tokens) = (shown.len() as u64, tokens);
        for event in shown {
            match event {
                TurnEvent::Retrieved { citations } => turn.rested_on(citations),
                TurnEvent::Token { text, .. } => turn.said.say(text),
                // A session shows none.
                TurnEvent::Aside { .. } | TurnEvent::Finished { .. } | TurnEvent::Failed(_) => {}
            }
        }
        turn
    }

    /// Tokens that were generated so far.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Ends without a word, so that somebody else can go on: what to do about it, or `None` while an answer is being stored.
    pub fn leave(&mut self) -> Option<Vec<Effect>> {
        if matches!(self.phase, Phase::Committing(_)) {
            return None;
        }
        let mut todo = Vec::new();
        self.cancel(&mut todo);
        self.phase = Phase::Done;
        Some(todo)
    }

    /// Whether it goes on after what was shown, and if so how.
    pub(super) fn goes_on(&mut self, now: Timestamp, todo: &mut Vec<Effect>) -> bool {
        let is_begun = self.emitted > 0;
        if is_begun && self.tokens >= self.spec.sampling.max_tokens {
            self.complete(FinishReason::Length, todo);
        } else if is_begun {
            self.generate(now, todo);
        }
        is_begun
    }

    /// The prompt is built again from what was announced.
    fn rested_on(&mut self, citations: &[Citation]) {
        let passages: Vec<Passage> = citations.iter().map(passage).collect();
        self.rests_on(&passages);
    }
}

fn passage(citation: &Citation) -> Passage {
    Passage {
        document: citation.document.clone(),
        chunk: 0,
        title: citation.title.clone(),
        text: citation.passage.clone(),
        score: citation.score,
    }
}
