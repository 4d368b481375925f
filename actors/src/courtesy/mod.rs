//! Greetings, thanks and the like: recognised where the whole message is nothing else.
//!
//! A message is taken apart into known phrases, in any of the languages; if anything is left over, it is no courtesy. So
//! "hi, how do I return it" is a question, whatever it begins with.

mod phrases;
mod replies;

pub use replies::reply;

use phrases::{PHRASES, TALK, TO};
use protocol::Lang;
use std::sync::LazyLock;

/// No courtesy is longer, in characters.
const LONGEST: usize = 80;

/// What a courtesy is; of several in one message the last of this list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Goes with the others and is nothing alone.
    Filler,
    /// "Yes", which means something only after a question or an offer.
    Yes,
    /// "OK": that an answer was understood, or "yes".
    Ok,
    /// A greeting.
    Greeting,
    /// Thanks.
    Thanks,
    /// A farewell.
    Goodbye,
    /// Who or what the assistant is.
    Who,
    /// The wish for a person.
    Person,
}

/// A message that is nothing but courtesies.
#[derive(Debug, PartialEq)]
pub struct Courtesy {
    /// Of which kind.
    pub kind: Kind,
    /// The languages in which it is said so, by tag.
    langs: Vec<&'static str>,
}

impl Courtesy {
    /// The language to answer in: `likely` if it can be that one.
    pub fn lang(&self, likely: Lang) -> Lang {
        let can_be = self.langs.contains(&likely.as_str());
        let first = self.langs.first().filter(|_| !can_be).and_then(|tag| Lang::parse(tag).ok());
        first.unwrap_or(likely)
    }
}

struct Phrase {
    text: String,
    kind: Kind,
    lang: &'static str,
}

static KNOWN: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    let listed =
        PHRASES.iter().flat_map(|(lang, kind, list)| list.split('|').map(|text| (*lang, *kind, text.to_string())));
    let talk = TALK.iter().flat_map(|talk| TO.iter().map(move |to| ("en", Kind::Person, format!("{talk} {to}"))));
    listed.chain(talk).map(|(lang, kind, text)| Phrase { text: normal(&text), kind, lang }).collect()
});

/// The courtesy that `text` is, if it is nothing else.
pub fn recognise(text: &str) -> Option<Courtesy> {
    if text.chars().take(LONGEST + 1).count() > LONGEST {
        return None;
    }
    let normal = normal(text);
    let (kind, langs) = parse(&normal)?;
    let may_ask = matches!(kind, Kind::Greeting | Kind::Who | Kind::Person);
    (kind != Kind::Filler && (may_ask || !text.contains(['?', '？', '؟']))).then_some(Courtesy { kind, langs })
}

/// The best way to take `text` apart: its kind, and the languages of the phrases that make it that.
fn parse(text: &str) -> Option<(Kind, Vec<&'static str>)> {
    // What comes out of the rest that begins at each place, from the end on.
    let mut from: Vec<Option<(Kind, Vec<&'static str>)>> = vec![None; text.len() + 1];
    from[text.len()] = Some((Kind::Filler, Vec::new()));
    for (at, _) in text.char_indices().rev() {
        let rest = &text[at..];
        let fits = KNOWN.iter().filter(|phrase| begins(rest, &phrase.text));
        let ways = fits.filter_map(|phrase| {
            let after = &rest[phrase.text.len()..];
            let next = text.len() - after.trim_start().len();
            Some(joined(phrase, from[next].as_ref()?))
        });
        from[at] = ways.reduce(better);
    }
    from.swap_remove(0).filter(|_| !text.is_empty())
}

fn joined(phrase: &Phrase, (kind, langs): &(Kind, Vec<&'static str>)) -> (Kind, Vec<&'static str>) {
    match phrase.kind.cmp(kind) {
        std::cmp::Ordering::Greater => (phrase.kind, vec![phrase.lang]),
        std::cmp::Ordering::Less => (*kind, langs.clone()),
        std::cmp::Ordering::Equal => {
            let mut langs = langs.clone();
            langs.retain(|lang| *lang != phrase.lang);
            langs.insert(0, phrase.lang);
            (*kind, langs)
        }
    }
}

/// Of two ways of reading the same text the one that says more; languages of equal ones are joined.
fn better(mut one: (Kind, Vec<&'static str>), other: (Kind, Vec<&'static str>)) -> (Kind, Vec<&'static str>) {
    if other.0 > one.0 {
        return other;
    }
    if other.0 == one.0 {
        let new = other.1.into_iter().filter(|lang| !one.1.contains(lang)).collect::<Vec<_>>();
        one.1.extend(new);
    }
    one
}

/// Whether `text` begins with `phrase`, and with no longer word.
fn begins(text: &str, phrase: &str) -> bool {
    let Some(after) = text.strip_prefix(phrase) else { return false };
    let (last, next) = (phrase.chars().next_back(), after.chars().next());
    last.is_none_or(is_unspaced) || next.is_none_or(|c| c == ' ' || is_unspaced(c))
}

/// Whether the character's script is written without blanks between words, or Hangul, whose endings vary.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0e7f}' | '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

/// Lower case, letters and digits only, single blanks between words.
fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '’' | 'ʼ' | '\u{0300}'..='\u{036f}' | '\u{0640}' | '\u{064b}'..='\u{0652}' => {}
            '👍' | '👌' | '🆗' => normal.push_str(" ok "),
            '🙏' => normal.push_str(" thanks "),
            '👋' => normal.push_str(" hi "),
            // Of full width.
            '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
                normal.extend(char::from_u32(c as u32 - 0xfee0).into_iter().flat_map(char::to_lowercase))
            }
            // Thai tone marks are no letters, but part of words.
            '\u{0e31}'..='\u{0e4e}' => normal.push(c),
            c if c.is_alphanumeric() => normal.extend(c.to_lowercase()),
            _ => normal.push(' '),
        }
    }
    normal.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
