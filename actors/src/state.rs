//! What is kept of a session.

use crate::{
    json,
    session::open::{self, Open},
    store::Stored,
};
use bytes::Bytes;
use protocol::{
    ChatMessage, Citation, ClientMessageId, FinishReason, JobId, Lang, Origin, Role, SessionId, Timestamp, Usage,
    WorkerId,
};
use serde::{Deserialize, Serialize};

/// A session as clients see it and as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// When it was created.
    pub created: Timestamp,
    /// The language of its last turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Lang>,
    /// Oldest first.
    pub messages: Vec<StoredMessage>,
    /// Messages that are accepted and not answered yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<StoredMessage>,
}

/// One message of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredMessage {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// The passages that an answer refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub citations: Vec<Citation>,
    /// When a question was accepted or an answer was complete.
    pub at: Timestamp,
    /// The client's own id of a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// How an answer came about; absent on questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnRecord>,
}

impl StoredMessage {
    /// Whether it says no more than that there is no answer.
    pub(crate) fn is_apology(&self) -> bool {
        let says_nothing = |turn: &TurnRecord| turn.origin == Origin::Abstained || turn.degraded;
        self.turn.as_ref().is_some_and(says_nothing) && self.citations.is_empty()
    }

    /// Bytes of its texts.
    fn bytes(&self) -> usize {
        let cited = self.citations.iter().map(|citation| citation.title.len() + citation.passage.len());
        self.content.len() + cited.sum::<usize>()
    }
}

/// A customer may have sent several messages and read the first answer again when the others have been given, too.
const PIECES_OF: usize = 5;

/// What is kept of a turn besides its words, so that a repeat of its message gets the same end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// The turn's id.
    pub job: JobId,
    /// Sequence number of its last event.
    pub last_seq: u64,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens it took.
    pub usage: Usage,
    /// Whether it was answered without the model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    /// Where the answer is from.
    #[serde(default, skip_serializing_if = "Origin::is_model")]
    pub origin: Origin,
    /// Bytes of each piece in which the text was shown, so that a reader who comes back goes on where it was; only of the
    /// last few answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<u32>,
}

impl SessionView {
    /// A session without messages.
    pub fn new(id: SessionId, created: Timestamp) -> Self {
        Self { id, created, lang: None, messages: Vec::new(), unanswered: Vec::new() }
    }

    /// Adds a question and its answer, and drops the oldest such pairs beyond `keep` messages or `bytes` bytes of them; what
    /// is added stays.
    pub fn append(&mut self, question: StoredMessage, answer: StoredMessage, keep: usize, bytes: usize) {
        let turns = self.messages.iter_mut().rev().filter_map(|message| message.turn.as_mut());
        turns.skip(PIECES_OF - 1).for_each(|turn| turn.pieces = Vec::new());
        self.messages.reserve_exact(2);
        self.messages.extend([question, answer]);
        let sizes = self.messages.rchunks(2).scan(0usize, |total, pair| {
            *total += pair.iter().map(StoredMessage::bytes).sum::<usize>();
            Some(*total)
        });
        let fitting = sizes.take_while(|total| *total <= bytes).count().min(keep / 2).max(1);
        let surplus = self.messages.len().saturating_sub(2 * fitting);
        self.messages.drain(..surplus);
    }

    /// The text of the message that its client called `id`.
    pub fn question(&self, id: &ClientMessageId) -> Option<&str> {
        self.messages.iter().rfind(|m| m.client_message_id.as_ref() == Some(id)).map(|m| m.content.as_str())
    }

    /// The answer to the message that its client called `id`.
    pub fn answer_to(&self, id: &ClientMessageId) -> Option<&StoredMessage> {
        let asked = self.messages.iter().rposition(|m| m.client_message_id.as_ref() == Some(id))?;
        self.messages.get(asked + 1)
    }

    /// What was said, as a model takes it. Questions without an answer are left out, and those that were answered by an
    /// apology, which a model would repeat.
    pub fn chat(&self) -> Vec<ChatMessage> {
        let pairs = self.messages.chunks_exact(2).filter(|pair| !pair[1].content.is_empty() && !pair[1].is_apology());
        pairs.flatten().map(|m| ChatMessage::new(m.role, m.content.clone())).collect()
    }
}

/// The format version that this build writes, and the only one it reads.
const VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Format<V> {
    v: u16,
    session: V,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    served: Option<Served>,
}

/// Which worker answered last, and so has the conversation in its cache. Clients do not see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Served {
    /// The worker.
    pub by: WorkerId,
    /// When its job was published.
    pub at: Timestamp,
}

impl Served {
    /// Whether that was at most `age_ms` before `now`; clocks of two nodes may differ by as much.
    pub fn is_recent(&self, now: Timestamp, age_ms: u64) -> bool {
        now.0.abs_diff(self.at.0) <= age_ms
    }
}

/// The session as bytes for a store.
pub(crate) fn encode(session: &SessionView, served: Option<&Served>) -> serde_json::Result<Bytes> {
    serde_json::to_vec(&Format { v: VERSION, session, served: served.cloned() }).map(Bytes::from)
}

/// The session in a store's bytes; fails on what another version wrote. The error quotes nothing of it.
pub(crate) fn decode(bytes: &[u8]) -> Result<(SessionView, Option<Served>), String> {
    let Format { v, session, served } = serde_json::from_slice(bytes).map_err(|error| json::place(&error))?;
    if v == VERSION { Ok((session, served)) } else { Err(format!("format version {v}, expected {VERSION}")) }
}

/// The session as clients see it.
pub(crate) fn view(stored: &Stored) -> Result<SessionView, String> {
    let (mut view, _) = decode(&stored.state)?;
    let open = open::in_order(&stored.open).into_iter().filter(|open| {
        let name = open.submit.client_message_id.as_ref();
        name.is_none_or(|name| view.answer_to(name).is_none())
    });
    view.unanswered = open.map(question).collect();
    Ok(view)
}

fn question(open: Open) -> StoredMessage {
    StoredMessage {
        role: Role::User,
        content: open.submit.content,
        citations: Vec::new(),
        at: open.accepted,
        client_message_id: open.submit.client_message_id,
        turn: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: Role, text: &str) -> StoredMessage {
        let (content, citations) = (text.to_string(), Vec::new());
        StoredMessage { role, content, citations, at: Timestamp(0), client_message_id: None, turn: None }
    }

    fn kept(keep: usize, bytes: usize, answers: &[&str]) -> Vec<String> {
        let mut view = SessionView::new(SessionId::parse("s").unwrap(), Timestamp(0));
        for answer in answers {
            view.append(message(Role::User, "?"), message(Role::Assistant, answer), keep, bytes);
        }
        view.messages.into_iter().skip(1).step_by(2).map(|m| m.content).collect()
    }

    #[test]
    fn the_last_answers_keep_the_pieces_in_which_they_were_shown() {
        let mut view = SessionView::new(SessionId::parse("s").unwrap(), Timestamp(0));
        for number in 0..8 {
            let (job, finish_reason) = (JobId::parse(format!("j{number}")).unwrap(), FinishReason::Stop);
            let (usage, degraded, pieces) = (Usage::default(), false, vec![2]);
            let turn = TurnRecord { job, last_seq: 2, finish_reason, usage, degraded, origin: Origin::Model, pieces };
            let answer = StoredMessage { turn: Some(turn), ..message(Role::Assistant, "ab") };
            view.append(message(Role::User, "?"), answer, 100, 1000);
        }
        let turns = view.messages.iter().filter_map(|message| message.turn.as_ref());
        let known: Vec<_> = turns.map(|turn| !turn.pieces.is_empty()).collect();
        assert_eq!(known, [false, false, false, true, true, true, true, true]);
    }

    #[test]
    fn who_served_last_is_kept_and_may_be_missing() {
        let view = SessionView::new(SessionId::parse("s").unwrap(), Timestamp(5));
        let served = Served { by: WorkerId::parse("w").unwrap(), at: Timestamp(1_000) };
        assert_eq!(decode(&encode(&view, Some(&served)).unwrap()), Ok((view.clone(), Some(served.clone()))));
        let older = br#"{"v":1,"session":{"id":"s","created":5,"messages":[]}}"#;
        assert_eq!(decode(older), Ok((view, None)));
        assert!(served.is_recent(Timestamp(1_500), 500) && served.is_recent(Timestamp(900), 500));
        assert!(!served.is_recent(Timestamp(1_501), 500) && !served.is_recent(Timestamp(400), 500));
    }

    #[test]
    fn the_oldest_pairs_go_beyond_either_bound_and_the_last_one_stays() {
        assert_eq!(kept(4, 1000, &["a", "b", "c"]), ["b", "c"]);
        assert_eq!(kept(100, 10, &["1234", "1234", "12"]), ["1234", "12"]);
        assert_eq!(kept(100, 10, &["1234", "1234", "a long last answer"]), ["a long last answer"]);
    }
}
