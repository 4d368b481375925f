//! An answer that may be given again.

use super::personal::is_answer_personal;
use crate::turn::Answer;
use protocol::{Citation, DocumentId, FinishReason, Origin, QuantizedVector, Timestamp};
use serde::{Deserialize, Serialize};

/// The largest entry in serialized bytes.
pub const MAX_BYTES: usize = 32 * 1024;

/// A question and the model's answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The question as it was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
    /// The passages that the answer refers to.
    pub citations: Vec<Citation>,
    /// The engine's name of the model.
    pub model: String,
    /// When it was answered.
    pub at: Timestamp,
}

impl Entry {
    /// `answer` as it may be given again; `None`: it must not be.
    pub(crate) fn of(question: &str, answer: &Answer, model: &str, at: Timestamp) -> Option<Self> {
        let sources: Vec<&str> = answer.citations.iter().flat_map(|c| [c.title.as_str(), c.passage.as_str()]).collect();
        let is_whole = answer.origin == Origin::Model && answer.reason == FinishReason::Stop && !answer.degraded;
        let is_plain = answer.reasoning.is_empty() && answer.tool_calls.is_empty() && !model.is_empty();
        let is_fit = is_whole && is_plain && !sources.is_empty() && !is_answer_personal(&answer.text, &sources);
        let (answer, citations) = (answer.text.clone(), answer.citations.clone());
        let entry = Self { question: question.into(), answer, citations, model: model.into(), at };
        Some(entry).filter(|entry| is_fit && entry.bytes().is_some_and(|bytes| bytes.len() <= MAX_BYTES))
    }

    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }

    /// Whether it refers to nothing but `documents`.
    pub(super) fn rests_on(&self, documents: &[DocumentId]) -> bool {
        self.citations.iter().all(|citation| documents.contains(&citation.document))
    }
}

/// A kept question, as it is found by its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// The name of its scope.
    pub scope: String,
    /// The question as it was asked.
    pub question: String,
    /// Its vector, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<QuantizedVector>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Usage;

    fn answer() -> Answer {
        let passage = Citation {
            number: 1,
            document: DocumentId::parse("d").unwrap(),
            title: "Passwords".into(),
            passage: "Open Settings; help: 400-820-8820.".into(),
            score: 1.0,
        };
        Answer {
            text: "Open Settings or call 400-820-8820 [1].".into(),
            reason: FinishReason::Stop,
            usage: Usage::default(),
            citations: vec![passage],
            reasoning: String::new(),
            tool_calls: Vec::new(),
            last_seq: 3,
            degraded: false,
            origin: Origin::Model,
        }
    }

    fn is_kept(answer: &Answer) -> bool {
        Entry::of("q", answer, "m", Timestamp(1)).is_some()
    }

    #[test]
    fn only_whole_grounded_public_answers_of_the_model_are_kept() {
        assert!(is_kept(&answer()));
        for unfit in [
            Answer { reason: FinishReason::Length, ..answer() },
            Answer { reason: FinishReason::Cancelled, ..answer() },
            Answer { degraded: true, ..answer() },
            Answer { origin: Origin::Cache, ..answer() },
            Answer { origin: Origin::Faq, ..answer() },
            Answer { citations: Vec::new(), ..answer() },
            Answer { reasoning: "hm".into(), ..answer() },
            Answer { text: "Your order SF10234567 is on its way [1].".into(), ..answer() },
            Answer { text: "x".repeat(MAX_BYTES), ..answer() },
        ] {
            assert!(!is_kept(&unfit), "{unfit:?}");
        }
        assert!(Entry::of("q", &answer(), "", Timestamp(1)).is_none());
    }
}
