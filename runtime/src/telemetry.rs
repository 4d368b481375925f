//! Logs and traces. Neither ever holds a message's text.
use tracing::Span;

/// The W3C `traceparent` of the current span, to be carried in a message; `None` without an active trace.
pub fn traceparent() -> Option<String> {
    None
}

/// Makes `span` a child of the span that `traceparent` names; a malformed or absent one changes nothing.
pub fn continue_from(_span: &Span, _traceparent: Option<&str>) {}
