//! What was said before, as far as it decides how a message is taken.

use crate::{
    SessionView, StoredMessage,
    courtesy::{self, Courtesy, Kind},
};
use protocol::{ChatMessage, Role};

/// An earlier question is looked up by its beginning, of so many characters.
const CONTEXT_CHARS: usize = 500;
/// The end of an answer, in characters, in which a question to the customer stands.
const END_CHARS: usize = 120;
/// The longest reply to a question, in letters; a Han, kana or Hangul character counts as three.
const REPLY_LETTERS: usize = 48;

/// The last thing that was said by each.
#[derive(Debug, Default)]
pub(crate) struct Before<'a> {
    /// Courtesies aside.
    asked: Option<&'a str>,
    answered: Option<&'a str>,
    /// The answer was that there is none, and the offer of a person.
    is_offered: bool,
}

impl<'a> Before<'a> {
    /// In a session.
    pub fn session(view: &'a SessionView) -> Self {
        let said = |role| view.messages.iter().rev().filter(move |m| m.role == role).map(|m| m.content.as_str());
        let is_offered = view.messages.last().is_some_and(StoredMessage::is_apology);
        Self { is_offered, ..Self::of(said(Role::User), said(Role::Assistant)) }
    }

    /// In a conversation, before its last message.
    pub fn messages(messages: &'a [ChatMessage]) -> Self {
        let before = messages.split_last().map(|(_, before)| before).unwrap_or_default();
        let said = |role| before.iter().rev().filter(move |m| m.role == role).map(|m| m.content.as_str());
        Self::of(said(Role::User), said(Role::Assistant))
    }

    /// Of what each has said, latest first.
    fn of(mut customer: impl Iterator<Item = &'a str>, mut assistant: impl Iterator<Item = &'a str>) -> Self {
        let asked = customer.find(|text| courtesy::recognise(text).is_none());
        Self { asked, answered: assistant.next(), is_offered: false }
    }

    /// What the customer asked, for looking up what goes on from there.
    pub fn context(&self) -> Option<String> {
        let context: String = self.asked?.chars().take(CONTEXT_CHARS).collect();
        Some(context).filter(|context| !context.trim().is_empty())
    }

    /// The assistant's last words, if `message` is not the one that they answered.
    pub fn told(&self, message: &str) -> Option<String> {
        self.answered.filter(|_| self.asked.is_some_and(|asked| asked.trim() != message.trim())).map(String::from)
    }

    /// Whether `message` may well be the reply to a question of the assistant's, and no question of its own.
    pub fn is_replied_by(&self, message: &str) -> bool {
        self.is_asked() && letters(message) <= REPLY_LETTERS && !asks(message)
    }

    /// Whether the assistant has asked something.
    fn is_asked(&self) -> bool {
        self.answered.is_some_and(|answered| answered.chars().rev().take(END_CHARS).any(is_question_mark))
    }

    /// What a message that is nothing but a courtesy means now; `None`: it has to be understood. `tells` whether it is known
    /// how a person is reached.
    pub fn means(&self, courtesy: &Courtesy, tells: bool) -> Option<Kind> {
        match courtesy.kind {
            Kind::Yes if self.is_offered => Some(Kind::Person),
            Kind::Ok if self.is_offered && !tells => Some(Kind::Person),
            Kind::Ok if self.is_asked() => None,
            Kind::Yes | Kind::Filler => None,
            kind => Some(kind),
        }
    }
}

fn letters(text: &str) -> usize {
    text.trim().chars().map(|c| if c >= '\u{1100}' { 3 } else { 1 }).sum()
}

fn is_question_mark(c: char) -> bool {
    matches!(c, '?' | '？' | '؟')
}

/// Whether the text is a question, also one without a question mark where the words tell.
fn asks(text: &str) -> bool {
    const WITHIN: &[&str] = &[
        "怎么",
        "怎样",
        "如何",
        "什么",
        "多少",
        "多久",
        "哪",
        "为何",
        "是否",
        "吗",
        "谁",
        "几天",
        "几点",
        "能不能",
        "可不可以",
        "どう",
        "なぜ",
        "いつ",
        "どこ",
        "いくら",
        "어떻게",
        "언제",
        "어디",
        "얼마",
        "왜",
    ];
    const FIRST: &[&str] = &["how", "what", "when", "where", "why", "who", "which", "whats", "what's", "hows", "how's"];
    let text = text.trim().to_lowercase();
    let first = text.split(|c: char| !(c.is_alphanumeric() || c == '\'')).next().unwrap_or_default();
    text.contains(is_question_mark) || WITHIN.iter().any(|word| text.contains(word)) || FIRST.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_reply(answered: &str, message: &str) -> bool {
        Before { asked: Some("?"), answered: Some(answered), is_offered: false }.is_replied_by(message)
    }

    #[test]
    fn a_short_reply_to_a_question_is_no_question_of_its_own() {
        let which = "We have two models. Which one do you have? [1]";
        for reply in ["the white one", "yes please", "LX-200, I think", "白色的"] {
            assert!(is_reply(which, reply), "{reply}");
        }
        for question in ["how do I pay", "Do you ship to Peru?", "运费多少", "怎么退货"] {
            assert!(!is_reply(which, question), "{question}");
        }
        assert!(!is_reply(which, &"I would like to tell you a long story about it. ".repeat(2)));
        assert!(!is_reply("Press reset [1].", "yes please"), "nothing was asked");
        assert!(!is_reply(&format!("Really? {}", "Well. ".repeat(30)), "yes please"), "that was long ago");
    }

    #[test]
    fn a_yes_means_what_it_follows() {
        let courtesy = |text| courtesy::recognise(text).unwrap();
        let offered = Before { asked: Some("Mars?"), answered: Some("I do not know."), is_offered: true };
        let (yes, ok) = (courtesy("yes please"), courtesy("好的"));
        assert_eq!((offered.means(&yes, true), offered.means(&ok, true)), (Some(Kind::Person), Some(Kind::Ok)));
        assert_eq!(offered.means(&ok, false), Some(Kind::Person), "it was not told how");
        let asked = Before { asked: Some("Returns"), answered: Some("Which one?"), is_offered: false };
        assert_eq!((asked.means(&yes, true), asked.means(&ok, true)), (None, None));
        assert_eq!(asked.means(&courtesy("thanks"), true), Some(Kind::Thanks));
        assert_eq!(Before::default().means(&ok, true), Some(Kind::Ok));
    }

    #[test]
    fn what_was_asked_before_is_the_context() {
        let said = |role, text: &str| ChatMessage::new(role, text);
        let messages = [said(Role::User, "Returns?"), said(Role::Assistant, "30 days."), said(Role::User, "And fees?")];
        let thanks = [said(Role::User, "Returns?"), said(Role::User, "Thanks!"), said(Role::User, "And fees?")];
        assert_eq!(Before::messages(&thanks).context().as_deref(), Some("Returns?"));
        let before = Before::messages(&messages);
        assert_eq!(before.context().as_deref(), Some("Returns?"));
        assert_eq!((before.told("And fees?").as_deref(), before.told(" Returns?")), (Some("30 days."), None));
        assert_eq!(Before::messages(&messages[..1]).context(), None);
        let long = "字".repeat(600);
        assert_eq!(Before { asked: Some(&long), ..Before::default() }.context().map(|c| c.chars().count()), Some(500));
    }
}
