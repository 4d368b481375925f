//! The usage that a server tells, found without reading the rest.

use memchr::memmem;
use protocol::Usage;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// The usage comes in the last event but one; this much of a stream's end is kept to find it.
const TAIL: usize = 2 << 10;
const NAME: &[u8] = b"\"usage\":";

#[derive(Deserialize)]
struct Told {
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
}

impl From<Told> for Usage {
    fn from(told: Told) -> Self {
        Self { prompt_tokens: told.prompt_tokens, completion_tokens: told.completion_tokens }
    }
}

/// The usage in a whole answer; fails when that is not a JSON object.
pub(super) fn of_answer(answer: &[u8]) -> Result<Option<Usage>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<Told>,
    }
    match serde_json::from_slice::<Answer>(answer) {
        Ok(answer) => Ok(answer.usage.map(Usage::from)),
        // Somebody's own words for the usage do not make the answer a bad one.
        Err(_) => serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(answer).map(|_| None),
    }
}

/// Events in a piece of a stream; one that was cut may be counted late or not.
pub(super) fn events(piece: &[u8]) -> u32 {
    u32::try_from(memmem::find_iter(piece, b"data: {").count()).unwrap_or(u32::MAX)
}

/// The end of a stream.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Takes the stream's next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let piece = &piece[piece.len().saturating_sub(TAIL)..];
        let surplus = (self.0.len() + piece.len()).saturating_sub(TAIL);
        // Moved seldom: the room is twice what is needed.
        if self.0.len() + piece.len() > 2 * TAIL {
            self.0.drain(..surplus);
        }
        self.0.extend_from_slice(piece);
    }

    /// Whether an event has just ended, or none has begun.
    pub(super) fn is_between_events(&self) -> bool {
        [&b"\n\n"[..], b"\r\n\r\n"].iter().any(|end| self.0.ends_with(end)) || self.0.is_empty()
    }

    /// The last usage that was told. In a text the name's quotes would be escaped.
    pub(super) fn usage(&self) -> Option<Usage> {
        let from = memmem::rfind_iter(&self.0, NAME).map(|at| at + NAME.len());
        from.filter_map(|at| {
            let told = serde_json::Deserializer::from_slice(&self.0[at..]).into_iter::<Told>().next();
            told?.ok().map(Usage::from)
        })
        .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_is_found_however_the_stream_is_cut() {
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":9}\"}}],\"usage\":null}\n\n"
            .repeat(100)
            + "data: {\"choices\":[],\"usage\": {\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n"
            + "data: [DONE]\n\n";
        for size in [1, 7, 100, 5_000, 100_000] {
            let mut tail = Tail::default();
            assert!(tail.is_between_events());
            text.as_bytes().chunks(size).for_each(|piece| tail.push(piece));
            assert_eq!(tail.usage(), Some(Usage { prompt_tokens: 7, completion_tokens: 3 }), "{size}");
            assert!(tail.is_between_events() && tail.0.len() <= 2 * TAIL);
        }
        let mut cut = Tail::default();
        cut.push(b"data: {\"usage\":{\"prompt_tok");
        assert!(!cut.is_between_events() && cut.usage().is_none());
    }

    #[test]
    fn an_answer_may_tell_no_usage_but_must_be_an_object() {
        assert_eq!(of_answer(b"{\"choices\": []}").unwrap(), None);
        let told = of_answer(b"{\"usage\": {\"prompt_tokens\": 1, \"completion_tokens\": 2}, \"id\": \"x\"}").unwrap();
        assert_eq!(told, Some(Usage { prompt_tokens: 1, completion_tokens: 2 }));
        assert_eq!(of_answer(b"{\"usage\": {\"tokens\": 1}}").unwrap(), None);
        assert!(of_answer(b"{\"choices\": [").is_err() && of_answer(b"<html>").is_err());
    }
}
