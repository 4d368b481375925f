//! Logprobs as OpenAI's chunks carry them.

use protocol::{Logprob, TokenLogprob};
use serde::Deserialize;

/// `choices[].logprobs`.
#[derive(Deserialize)]
pub(super) struct Logprobs {
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(flatten)]
    chosen: Alternative,
    #[serde(default)]
    top_logprobs: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    token: String,
    logprob: f32,
    bytes: Option<Vec<u8>>,
}

impl Logprobs {
    pub fn read(self) -> Vec<TokenLogprob> {
        let tokens = self.content.into_iter().flatten();
        tokens
            .map(|token| TokenLogprob {
                chosen: token.chosen.read(),
                top: token.top_logprobs.into_iter().map(Alternative::read).collect(),
            })
            .collect()
    }
}

impl Alternative {
    fn read(self) -> Logprob {
        let bytes = self.bytes.filter(|bytes| bytes != self.token.as_bytes());
        Logprob { bytes, token: self.token, logprob: self.logprob.max(Logprob::NEVER) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_logprobs_are_read() {
        let wire = r#"{"content":[{"token":"\ufffd","logprob":-0.5,"bytes":[230],"top_logprobs":
            [{"token":"a","logprob":-9999.0,"bytes":[97]},{"token":"b","logprob":-1e9,"bytes":null}]}]}"#;
        let read = serde_json::from_str::<Logprobs>(wire).unwrap().read();
        let top = vec![Logprob::of_bytes(b"a", Logprob::NEVER), Logprob::of_bytes(b"b", Logprob::NEVER)];
        assert_eq!(read, [TokenLogprob { chosen: Logprob::of_bytes(&[230], -0.5), top }]);
        assert!(serde_json::from_str::<Logprobs>(r#"{"content":null}"#).unwrap().read().is_empty());
    }
}
