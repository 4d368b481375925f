//! What is known of HTML's elements.

use html5gum::StartTag;

/// How an element takes part in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Begins and ends a block.
    Block,
    /// `h1` to `h6`.
    Heading(usize),
    /// `ul`; `ol`: numbered.
    List(bool),
    /// `li`.
    Item,
    /// `table`.
    Table,
    /// `tr`.
    Row,
    /// `td`, `th`.
    Cell,
    /// `pre`.
    Code,
    /// `a`.
    Link,
    /// `title`.
    Title,
    /// Part of a line.
    Inline,
    /// Shows nothing, or nothing that belongs to the page's text.
    Hidden,
}

/// The role of the element called `name`.
pub fn role(name: &str) -> Role {
    match name {
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Role::Heading(usize::from(name.as_bytes()[1] - b'0')),
        "ul" | "menu" => Role::List(false),
        "ol" => Role::List(true),
        "li" => Role::Item,
        "table" => Role::Table,
        "tr" => Role::Row,
        "td" | "th" => Role::Cell,
        "pre" => Role::Code,
        "a" => Role::Link,
        "title" => Role::Title,
        "script" | "style" | "noscript" | "template" | "svg" | "math" | "iframe" | "object" | "embed" | "canvas"
        | "audio" | "video" | "map" | "select" | "datalist" | "textarea" | "button" | "nav" | "dialog" | "noembed"
        | "noframes" | "progress" | "meter" => Role::Hidden,
        "p" | "div" | "section" | "article" | "main" | "header" | "footer" | "aside" | "address" | "blockquote"
        | "center" | "dd" | "details" | "dl" | "dt" | "fieldset" | "figcaption" | "figure" | "form" | "hgroup"
        | "legend" | "search" | "summary" | "tbody" | "thead" | "tfoot" | "caption" | "body" | "html" | "head" => {
            Role::Block
        }
        _ => Role::Inline,
    }
}

/// Whether the element has no end tag.
pub fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "source"
            | "track"
            | "wbr"
            | "param"
    )
}

/// Which open elements a start tag of `name` ends, and which elements it does not look beyond.
pub fn ends(name: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match name {
        "li" => (&["li"], &["ul", "ol", "menu", "table"]),
        "dt" | "dd" => (&["dt", "dd"], &["dl", "table"]),
        "td" | "th" => (&["td", "th"], &["tr", "table"]),
        "tr" => (&["tr"], &["table"]),
        "tbody" | "thead" | "tfoot" => (&["tbody", "thead", "tfoot"], &["table"]),
        "body" => (&["head"], &[]),
        name if role(name) != Role::Inline && role(name) != Role::Link && role(name) != Role::Hidden => {
            (&["p"], &["td", "th", "table", "li", "div", "section", "article", "main", "body"])
        }
        _ => (&[], &[]),
    }
}

/// An attribute's value.
pub fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    tag.attributes.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Whether the page hides the element, or says that it is there for finding one's way only.
pub fn is_hidden(tag: &StartTag<()>) -> bool {
    let roles = ["navigation", "banner", "contentinfo", "search", "menu", "menubar", "dialog", "alertdialog"];
    let style = attribute(tag, "style").unwrap_or_default().to_ascii_lowercase();
    let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
    attribute(tag, "hidden").is_some_and(|how| how != "until-found")
        || attribute(tag, "aria-hidden").is_some_and(|value| value == "true")
        || attribute(tag, "role").is_some_and(|role| roles.contains(&role.trim()))
        || style.contains("display:none")
        || style.contains("visibility:hidden")
}
