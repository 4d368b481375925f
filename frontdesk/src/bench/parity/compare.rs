//! Where two greedy answers part, and by how little. Pure.

use super::super::trace::Sequence;
use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

/// A token with its log probability.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Choice {
    /// Its text; empty for the answer's end.
    pub token: String,
    pub logprob: f64,
}

/// A token that the peer chose, with the most likely ones in its place.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Chosen {
    pub token: String,
    #[serde(default)]
    pub top_logprobs: Vec<Choice>,
}

/// A peer's answer, token by token.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerAnswer {
    pub prompt_tokens: u32,
    pub tokens: Vec<Chosen>,
}

/// The first token in which two answers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Tokens before it.
    pub at: usize,
    /// Ours; empty: the end.
    pub ours: String,
    /// The peer's.
    pub peer: String,
    /// By how much the peer finds its own token likelier than ours, in nats; `None` when ours is not among its best.
    pub margin: Option<f64>,
}

impl PeerAnswer {
    /// Reads a chat completion with log probabilities.
    pub fn read(body: &Value) -> anyhow::Result<Self> {
        let prompt_tokens = body["usage"]["prompt_tokens"].as_u64().context("the server counts no prompt tokens")?;
        let content = &body["choices"][0]["logprobs"]["content"];
        let tokens = Vec::<Chosen>::deserialize(content).context("the server tells no log probabilities")?;
        Ok(Self { prompt_tokens: u32::try_from(prompt_tokens)?, tokens })
    }
}

/// The first difference in tokens, also of the same text; `None`: there is none.
pub fn compare(ours: &Sequence, peer: &PeerAnswer) -> Option<Difference> {
    let mut pieces = ours.pieces.iter().map(|piece| piece.text.as_str()).filter(|text| !text.is_empty()).peekable();
    for (at, chosen) in peer.tokens.iter().enumerate() {
        let mut text = pieces.next().unwrap_or_default().to_string();
        // Of a token that ends within a character, a server may hold all back until the character is whole, we the
        // character only.
        while let Some(next) = pieces.next_if(|next| is_cut(&text, next, &chosen.token)) {
            text += next;
        }
        if text != chosen.token {
            return Some(difference(at, &text, chosen));
        }
    }
    // Ours goes on where the peer ended without saying so.
    let end = Chosen { token: String::new(), top_logprobs: Vec::new() };
    pieces.next().map(|text| difference(peer.tokens.len(), text, &end))
}

/// Whether `whole` goes on after `begin` with `next`, and that with a character of several bytes.
fn is_cut(begin: &str, next: &str, whole: &str) -> bool {
    let rest = whole.strip_prefix(begin).unwrap_or_default();
    next.starts_with(|first: char| !first.is_ascii()) && rest.starts_with(next)
}

fn difference(at: usize, ours: &str, chosen: &Chosen) -> Difference {
    let logprob = |token: &str| chosen.top_logprobs.iter().find(|choice| choice.token == token);
    let margin = logprob(&chosen.token).zip(logprob(ours)).map(|(peer, ours)| peer.logprob - ours.logprob);
    Difference { at, ours: ours.into(), peer: chosen.token.clone(), margin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::trace::Piece;
    use serde_json::json;

    fn ours(texts: &[&str]) -> Sequence {
        let piece = |text: &&str| Piece { moment: 1, tokens: 1, text: text.to_string() };
        Sequence { pieces: texts.iter().map(piece).collect(), ..Sequence::default() }
    }

    fn peer(tokens: &[(&str, &[(&str, f64)])]) -> PeerAnswer {
        let choice = |(token, logprob): &(&str, f64)| json!({ "token": token, "logprob": logprob });
        let token = |(token, top): &(&str, &[(&str, f64)])| json!({ "token": token, "logprob": -0.1, "top_logprobs": top.iter().map(choice).collect::<Vec<_>>() });
        let content: Vec<Value> = tokens.iter().map(token).collect();
        let body = json!({ "usage": { "prompt_tokens": 9 }, "choices": [{ "logprobs": { "content": content } }] });
        PeerAnswer::read(&body).unwrap()
    }

    #[test]
    fn equal_texts_have_no_difference() {
        let peer = peer(&[("Par", &[]), ("is", &[]), ("", &[])]);
        assert_eq!(peer.prompt_tokens, 9);
        assert_eq!(compare(&ours(&["Par", "is"]), &peer), None);
    }

    #[test]
    fn the_first_difference_is_found_with_its_margin() {
        let peer = peer(&[("A", &[]), (" b", &[(" b", -0.5), (" c", -0.75)]), (".", &[])]);
        let found = Difference { at: 1, ours: " c".into(), peer: " b".into(), margin: Some(0.25) };
        assert_eq!(compare(&ours(&["A", " c", "."]), &peer), Some(found));
        let longer = compare(&ours(&["A", " b."]), &peer).unwrap();
        assert_eq!((longer.at, longer.ours.as_str(), longer.peer.as_str()), (1, " b.", " b"));
        let unlikely = compare(&ours(&["A", " x"]), &peer).unwrap();
        assert_eq!((unlikely.at, unlikely.margin), (1, None));
    }

    #[test]
    fn a_character_that_one_side_cuts_is_no_difference() {
        assert_eq!(compare(&ours(&[" ", "编"]), &peer(&[(" 编", &[])])), None);
        assert_eq!(compare(&ours(&[" a", "b"]), &peer(&[(" ab", &[])])).unwrap().at, 0);
    }

    #[test]
    fn an_end_is_a_token_too() {
        let ends = peer(&[("A", &[]), ("", &[("", -0.4), ("!", -0.6)])]);
        let on = compare(&ours(&["A", "!"]), &ends).unwrap();
        assert_eq!((on.ours.as_str(), on.peer.as_str()), ("!", ""));
        assert!(on.margin.is_some_and(|margin| (margin - 0.2).abs() < 1e-9));
        let goes_on = peer(&[("A", &[]), ("!", &[("!", -0.4), ("", -0.6)])]);
        assert_eq!(compare(&ours(&["A"]), &goes_on).unwrap().ours, "");
    }

    #[test]
    fn a_server_without_log_probabilities_is_an_error() {
        let body = json!({ "usage": { "prompt_tokens": 9 }, "choices": [{ "message": { "content": "x" } }] });
        assert!(PeerAnswer::read(&body).unwrap_err().to_string().contains("log probabilities"));
    }
}
