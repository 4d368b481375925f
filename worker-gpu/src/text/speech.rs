//! What an answer says: text that no stop string can take back any more, with the logprobs of its tokens.

use super::stop::StopFilter;
use protocol::TokenLogprob;
use std::collections::VecDeque;

/// One answer as it is said.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    stop: StopFilter,
    /// Bytes that were pushed, and those of them that were shown.
    said: usize,
    shown: usize,
    /// Logprobs of text that is held back.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Where its token's text begins, and what must be shown before it may be.
    begin: usize,
    end: usize,
    logprob: TokenLogprob,
}

/// What may be shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub text: String,
    /// Those of the text's tokens.
    pub logprobs: Vec<TokenLogprob>,
    /// Whether a stop string followed; then nothing more is to be shown.
    pub stopped: bool,
}

impl Speech {
    pub fn new(stops: &[String]) -> Self {
        Self { stop: StopFilter::new(stops), ..Self::default() }
    }

    /// Appends the text that tokens complete, and their logprobs; with `partial` the last one also begins a character.
    pub fn push(&mut self, text: &str, partial: bool, logprobs: Vec<TokenLogprob>) -> Shown {
        let mut begin = self.said;
        self.said += text.len();
        let last = logprobs.len().saturating_sub(1);
        for (at, logprob) in logprobs.into_iter().enumerate() {
            let next = (begin + logprob.chosen.as_bytes().len()).min(self.said);
            let end = if at == last { self.said + usize::from(partial) } else { next };
            self.waiting.push_back(Waiting { begin, end, logprob });
            begin = next;
        }
        let passed = self.stop.push(text);
        self.shown += passed.text.len();
        let shown = self.shown;
        // A token that a stop string cuts is told, one that belongs to the stop string is not.
        let logprobs = self.told(|token| if passed.stopped { token.begin < shown } else { token.end <= shown });
        if passed.stopped {
            self.waiting.clear();
        }
        Shown { text: passed.text, logprobs, stopped: passed.stopped }
    }

    /// What is still held back when generation ends.
    pub fn finish(&mut self) -> Shown {
        let text = self.stop.finish();
        let logprobs = self.told(|_| true);
        Shown { text, logprobs, stopped: false }
    }

    fn told(&mut self, may: impl Fn(&Waiting) -> bool) -> Vec<TokenLogprob> {
        let count = self.waiting.iter().take_while(|token| may(token)).count();
        self.waiting.drain(..count).map(|token| token.logprob).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Logprob;

    fn push(speech: &mut Speech, text: &str, partial: bool, bytes: &[u8]) -> (String, Vec<String>) {
        let logprob = TokenLogprob { chosen: Logprob::of_bytes(bytes, 0.0), top: Vec::new() };
        told(speech.push(text, partial, vec![logprob]))
    }

    fn told(shown: Shown) -> (String, Vec<String>) {
        (shown.text, shown.logprobs.into_iter().map(|logprob| logprob.chosen.token).collect())
    }

    fn pair(text: &str, tokens: &[&str]) -> (String, Vec<String>) {
        (text.into(), tokens.iter().map(|token| token.to_string()).collect())
    }

    #[test]
    fn logprobs_come_with_the_text_of_their_tokens() {
        let mut speech = Speech::new(&["END".into()]);
        assert_eq!(push(&mut speech, "a", false, b"a"), pair("a", &["a"]));
        assert_eq!(push(&mut speech, "bE", false, b"bE"), pair("b", &[]));
        assert_eq!(push(&mut speech, "N", false, b"N"), pair("", &[]));
        assert_eq!(push(&mut speech, "T", false, b"T"), pair("ENT", &["bE", "N", "T"]));
        assert_eq!(push(&mut speech, "E", false, b"E"), pair("", &[]));
        assert_eq!(told(speech.finish()), pair("E", &["E"]));
    }

    #[test]
    fn a_stop_string_takes_its_tokens_with_it() {
        let mut speech = Speech::new(&["END".into()]);
        assert_eq!(push(&mut speech, "bE", false, b"bE"), pair("b", &[]));
        assert_eq!(push(&mut speech, "N", false, b"N"), pair("", &[]));
        let last = TokenLogprob { chosen: Logprob::of_bytes(b"Dx", 0.0), top: Vec::new() };
        let shown = speech.push("Dx", false, vec![last]);
        assert!(shown.stopped);
        assert_eq!(told(shown), pair("", &["bE"]));
        assert_eq!(told(speech.finish()), pair("", &[]));
    }

    #[test]
    fn parts_of_a_character_come_with_it() {
        let mut speech = Speech::new(&[]);
        assert_eq!(push(&mut speech, "a", true, &[b'a', 0xe6]), pair("a", &[]));
        assert_eq!(push(&mut speech, "", true, &[0x8d]), pair("", &[]));
        assert_eq!(push(&mut speech, "换", false, &[0xa2]).1.len(), 3);
        assert_eq!(push(&mut speech, "", true, &[0xe6]).1.len(), 0);
        assert_eq!(speech.finish().logprobs.len(), 1);
    }

    #[test]
    fn several_tokens_may_come_at_once() {
        let mut speech = Speech::new(&["END".into()]);
        let tokens =
            ["ab", "cE"].map(|text| TokenLogprob { chosen: Logprob::of_bytes(text.as_bytes(), 0.0), top: vec![] });
        assert_eq!(told(speech.push("abcE", false, tokens.into())), pair("abc", &["ab"]));
    }
}
