//! Stored answers, told again.

use crate::{SessionView, StoredMessage, TurnLog, TurnRecord, TurnStream};
use protocol::{ClientMessageId, JobId, TurnEvent};

/// The answer that the session keeps for the message `id`, as a turn that has ended.
pub(super) fn replay(view: &SessionView, id: &ClientMessageId) -> Option<TurnStream> {
    view.answer_to(id).and_then(replayed)
}

/// The answer that the session keeps of the turn `job`.
pub(super) fn replay_turn(view: &SessionView, job: &JobId) -> Option<TurnStream> {
    let is_it = |message: &&StoredMessage| message.turn.as_ref().is_some_and(|turn| turn.job == *job);
    view.messages.iter().rfind(is_it).and_then(replayed)
}

/// The events keep their numbers where the sizes of the pieces are still known; else the text is one piece.
fn replayed(stored: &StoredMessage) -> Option<TurnStream> {
    let TurnRecord { job, last_seq, finish_reason, usage, degraded, origin, pieces } = stored.turn.clone()?;
    let (text, citations) = (stored.content.clone(), stored.citations.clone());
    let mut events = vec![(0, TurnEvent::Retrieved { citations: citations.clone() })];
    let tokens = cut(&text, &pieces).into_iter().filter(|piece| !piece.is_empty()).map(TurnEvent::token);
    events.extend((1..).zip(tokens));
    let last_seq = last_seq.max(events.len() as u64);
    let (reasoning, tool_calls) = (String::new(), Vec::new());
    let last = TurnEvent::Finished { text, finish_reason, usage, citations, reasoning, tool_calls, degraded, origin };
    events.push((last_seq, last));
    Some(TurnLog::replay(job, events).reader())
}

/// `text` in pieces of these sizes, or whole if it is not made of such.
fn cut<'a>(text: &'a str, pieces: &[u32]) -> Vec<&'a str> {
    let mut rest = text;
    let cut: Option<Vec<&str>> = pieces
        .iter()
        .map(|size| {
            let (piece, after) = rest.split_at_checked(*size as usize)?;
            rest = after;
            Some(piece)
        })
        .collect();
    cut.filter(|_| rest.is_empty()).unwrap_or_else(|| vec![text])
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_text_is_cut_where_it_was_shown_in_pieces() {
        assert_eq!(cut("如何 do", &[6, 1, 2]), ["如何", " ", "do"]);
        for not_its_own in [&[][..], &[3, 3], &[4, 5], &[9, 1], &[u32::MAX]] {
            assert_eq!(cut("如何 do", not_its_own), ["如何 do"]);
        }
    }
}
