//! Where two greedy answers part, and by how little. Pure.

use protocol::TokenLogprob;

/// The first token in which two answers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The peer's tokens before it.
    pub at: usize,
    /// Ours; empty: the end.
    pub ours: String,
    /// The peer's.
    pub peer: String,
    /// By how much each side finds its own token likelier than the other's, in nats: we, and the peer. `None` where the
    /// other's is not among its best.
    pub margins: [Option<f32>; 2],
}

impl Difference {
    /// The greater margin of those that are known.
    pub fn margin(&self) -> Option<f32> {
        self.margins.iter().copied().flatten().reduce(f32::max)
    }
}

/// The first difference; `None`: there is none.
pub fn compare(ours: &[TokenLogprob], peer: &[TokenLogprob]) -> Option<Difference> {
    let mut rest = ours;
    for (at, chosen) in peer.iter().enumerate() {
        let taken = taken(rest, chosen.chosen.as_bytes());
        let bytes: Vec<u8> = rest[..taken].iter().flat_map(|token| token.chosen.as_bytes()).copied().collect();
        if bytes != chosen.chosen.as_bytes() {
            return Some(difference(at, rest.first(), Some(chosen)));
        }
        rest = &rest[taken..];
    }
    rest.first().map(|token| difference(peer.len(), Some(token), None))
}

/// How many tokens of ours stand for one of the peer's: of a character that several tokens make, llama.cpp tells one
/// token with all of its bytes. Of an end we tell none.
fn taken(ours: &[TokenLogprob], peer: &[u8]) -> usize {
    let is_part = |token: &&TokenLogprob| token.chosen.bytes.is_some();
    let length = |tokens: usize| ours[..tokens].iter().map(|token| token.chosen.as_bytes().len()).sum::<usize>();
    let parts = ours.iter().take_while(is_part).count();
    (1..=parts).find(|tokens| length(*tokens) >= peer.len()).unwrap_or(1).min(ours.len())
}

fn difference(at: usize, ours: Option<&TokenLogprob>, peer: Option<&TokenLogprob>) -> Difference {
    let bytes = |token: Option<&TokenLogprob>| token.map(|token| token.chosen.as_bytes().to_vec()).unwrap_or_default();
    let margin = |own: Option<&TokenLogprob>, other: Vec<u8>| {
        let own = own?;
        let other = own.top.iter().find(|choice| choice.as_bytes() == other)?;
        Some(own.chosen.logprob - other.logprob)
    };
    let text = |token: Option<&TokenLogprob>| token.map(|token| token.chosen.token.clone()).unwrap_or_default();
    let margins = [margin(ours, bytes(peer)), margin(peer, bytes(ours))];
    Difference { at, ours: text(ours), peer: text(peer), margins }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Logprob;

    /// A token, its log probability, and another one in its place with its own.
    fn token(bytes: &[u8], other: &[u8], margin: f32) -> TokenLogprob {
        let [chosen, other] = [Logprob::of_bytes(bytes, -0.5), Logprob::of_bytes(other, -0.5 - margin)];
        TokenLogprob { top: vec![chosen.clone(), other], chosen }
    }

    fn answer(texts: &[&str]) -> Vec<TokenLogprob> {
        texts.iter().map(|text| token(text.as_bytes(), b"other", 3.0)).collect()
    }

    #[test]
    fn equal_tokens_have_no_difference() {
        assert_eq!(compare(&answer(&["Par", "is"]), &answer(&["Par", "is"])), None);
        // The peer tells of its end.
        assert_eq!(compare(&answer(&["Par", "is"]), &answer(&["Par", "is", ""])), None);
    }

    #[test]
    fn the_first_difference_is_found_with_both_margins() {
        let [mut ours, mut peer] = [answer(&["A", "?", "."]), answer(&["A", "?", "."])];
        (ours[1], peer[1]) = (token(b" c", b" b", 0.125), token(b" b", b" c", 0.25));
        let margins = [Some(0.125), Some(0.25)];
        let found = Difference { at: 1, ours: " c".into(), peer: " b".into(), margins };
        assert_eq!(found.margin(), Some(0.25));
        assert_eq!(compare(&ours, &peer), Some(found));
        assert_eq!(compare(&answer(&["A", "x"]), &peer).unwrap().margins, [None, None]);
    }

    #[test]
    fn the_same_text_in_other_tokens_is_a_difference() {
        assert_eq!(compare(&answer(&["ab", "c"]), &answer(&["a", "bc"])).unwrap().at, 0);
    }

    #[test]
    fn a_character_of_several_tokens_may_be_told_as_one() {
        let fox = " 🦊".as_bytes();
        let parts =
            [token(b"A", b"", 1.0), token(&fox[..3], b"", 1.0), token(&fox[3..], b"", 1.0), token(b"!", b"", 1.0)];
        assert_eq!(compare(&parts, &answer(&["A", " 🦊", "!"])), None);
        assert_eq!(compare(&parts, &parts), None);
        assert_eq!(compare(&parts, &answer(&["A", " 🦊", "?"])).unwrap().at, 2);
    }

    #[test]
    fn an_end_is_a_token_too() {
        let goes_on = answer(&["A", "!"]);
        let ends = [answer(&["A"]), vec![token(b"", b"!", 0.25)]].concat();
        let found = compare(&goes_on, &ends).unwrap();
        assert_eq!((found.ours.as_str(), found.peer.as_str(), found.margins[1]), ("!", "", Some(0.25)));
        assert_eq!(compare(&answer(&["A"]), &goes_on).unwrap().ours, "");
        assert_eq!(compare(&goes_on, &answer(&["A"])).unwrap().peer, "");
    }
}
