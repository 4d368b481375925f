//! What a web page shows, as Markdown: in one pass over its tags, without scripts, styles, navigation and hidden parts.

mod element;
mod page;

use super::{Content, Reading, encoding, unreadable};
use encoding_rs::Encoding;
use html5gum::{DefaultEmitter, Token, Tokenizer};
use page::Page;
use protocol::Failure;

/// A page says its encoding within its first bytes, if at all.
const DECLARED_WITHIN: usize = 1024;

/// Reads a page. Where it marks its main part, only that is read.
pub fn read(bytes: &[u8]) -> Result<Reading, Failure> {
    let (source, warning) = encoding::decode(bytes, declared(bytes))?;
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut page = Page::default();
    for token in Tokenizer::new_with_emitter(source.as_str(), emitter) {
        match token {
            Ok(Token::StartTag(tag)) => page.open(&tag),
            Ok(Token::EndTag(tag)) => page.close(&tag.name),
            Ok(Token::String(text)) => page.text(&String::from_utf8_lossy(&text)),
            _ => {}
        }
    }
    let (title, text) = page.finish();
    if text.trim().is_empty() {
        return Err(unreadable(
            "the page shows no text without running its scripts; save it from a browser, or send its text",
        ));
    }
    Ok(Reading { title, content: Content::Markdown(text), warnings: warning.into_iter().collect() })
}

fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(DECLARED_WITHIN)].to_ascii_lowercase();
    let word = b"charset=";
    let at = head.windows(word.len()).position(|window| window == word)? + word.len();
    let label = head[at..].iter().skip_while(|byte| matches!(byte, b'"' | b'\'' | b' '));
    let label: Vec<u8> =
        label.copied().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_:".contains(byte)).collect();
    Encoding::for_label(&label)
}

#[cfg(test)]
mod tests;
