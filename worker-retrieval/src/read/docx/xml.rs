//! Walks XML within a limit of depth. Entities of a document's own are not expanded.

use crate::read::unreadable;
use protocol::Failure;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// No honest document is nested deeper.
const MAX_DEPTH: usize = 512;

/// A step through a document; names are without their prefix.
pub enum Step<'a> {
    /// An element begins.
    Open(&'a str, &'a BytesStart<'a>),
    /// An element ends.
    Close(&'a str),
    /// Text.
    Text(&'a str),
}

/// Calls `visit` for each step through `source`.
pub fn walk(source: &str, mut visit: impl FnMut(Step<'_>)) -> Result<(), Failure> {
    let damaged = || unreadable("the document's XML is damaged; open it in Word and save it anew");
    let mut reader = Reader::from_str(source);
    reader.config_mut().expand_empty_elements = true;
    let mut depth = 0usize;
    loop {
        match reader.read_event().map_err(|_| damaged())? {
            Event::Start(element) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(unreadable("the document is nested too deeply; open it in Word and save it anew"));
                }
                visit(Step::Open(element.local_name().as_ref(), &element));
            }
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                visit(Step::Close(element.local_name().as_ref()));
            }
            Event::Text(text) => visit(Step::Text(&text)),
            Event::CData(text) => visit(Step::Text(&text)),
            Event::GeneralRef(reference) => {
                let named = || quick_xml::escape::resolve_predefined_entity(&reference).map(str::to_owned);
                let text = reference.resolve_char_ref().ok().flatten().map(String::from).or_else(named);
                visit(Step::Text(&text.unwrap_or_default()));
            }
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(damaged()),
            _ => {}
        }
    }
}

/// The value of the attribute called `name`, whatever its prefix.
pub fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut all = element.attributes();
    let found = all.with_checks(false).flatten().find(|attribute| attribute.key.local_name().as_ref() == name)?;
    quick_xml::escape::unescape(&found.value).ok().map(|value| value.into_owned())
}
