//! Logs and traces. Neither ever holds a message's text.
