//! How likely an answer's tokens were, in OpenAI's words.

use protocol::{Logprob, TokenLogprob};
use serde_json::{Value, json};

/// The `logprobs` of a choice.
pub(super) fn object(tokens: &[TokenLogprob]) -> Value {
    let content: Vec<Value> = tokens.iter().map(token).collect();
    json!({"content": content, "refusal": null})
}

fn token(token: &TokenLogprob) -> Value {
    let mut object = alternative(&token.chosen);
    object["top_logprobs"] = token.top.iter().map(alternative).collect();
    object
}

fn alternative(alternative: &Logprob) -> Value {
    json!({"token": alternative.token, "logprob": alternative.logprob, "bytes": alternative.as_bytes()})
}
