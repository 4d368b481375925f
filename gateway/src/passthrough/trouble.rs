//! What goes wrong at a server, in OpenAI's words.

use super::target::Target;
use crate::error::Refusal;
use hyper::{HeaderMap, StatusCode, header};
use protocol::{ErrorCode, Failure};
use std::io;

/// When a client may try again, unless the server says so.
const BACK_OFF_MS: u64 = 1_000;
/// The longest wait that is passed on.
const BACK_OFF_MAX_MS: u64 = 120_000;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// As many requests as it may get are at the server.
    Full,
    /// No connection.
    Unreachable(io::Error),
    /// Nothing came in time.
    Silent,
    /// The connection ended too early, or what came is not HTTP.
    Broken(hyper::Error),
    /// What came is no answer of an OpenAI-compatible server.
    Odd(&'static str),
    /// The server answered with an error of its own that is not the client's fault.
    Refused(StatusCode, u64),
}

impl Trouble {
    /// The server's error `status`.
    pub(super) fn refused(status: StatusCode, headers: &HeaderMap) -> Self {
        Self::Refused(status, wait_ms(headers).unwrap_or(BACK_OFF_MS).clamp(1, BACK_OFF_MAX_MS))
    }

    /// As the client is told; the log has the cause.
    pub(super) fn tell(self, target: &Target) -> Refusal {
        let model = &target.model;
        let failure = |code, what: &str| Failure::new(code, format!("the server of the model {model:?} {what}"));
        match &self {
            Self::Unreachable(error) => tracing::warn!(model, %error, "an inference server cannot be reached"),
            Self::Broken(error) => tracing::warn!(model, ?error, "an inference server broke off"),
            Self::Refused(status, _) => tracing::warn!(model, %status, "an inference server refused a request"),
            Self::Odd(what) => tracing::warn!(model, what, "an inference server's answer is no use"),
            Self::Full | Self::Silent => tracing::debug!(model, trouble = ?self, "an inference server has no time"),
        }
        let (code, what, wait) = match self {
            Self::Full => (ErrorCode::Overloaded, "has as many requests as it takes", BACK_OFF_MS),
            Self::Unreachable(_) => (ErrorCode::Unavailable, "cannot be reached", BACK_OFF_MS),
            Self::Silent => (ErrorCode::DeadlineExceeded, "did not answer in time", BACK_OFF_MS),
            Self::Broken(_) => (ErrorCode::EngineFailed, "broke off", BACK_OFF_MS),
            Self::Odd(what) => (ErrorCode::EngineFailed, what, BACK_OFF_MS),
            Self::Refused(status, wait) => match status.as_u16() {
                429 | 503 => (ErrorCode::Overloaded, "has no capacity now", wait),
                408 | 504 => (ErrorCode::DeadlineExceeded, "did not answer in time", wait),
                401 | 403 => (ErrorCode::EngineFailed, "does not accept the gateway's key", wait),
                _ => (ErrorCode::EngineFailed, "failed", wait),
            },
        };
        Refusal::until(wait, failure(code, what))
    }
}

/// Whether a server's error is about the request, and so the client's to mend.
pub(super) fn is_the_clients(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 415 | 422)
}

fn wait_ms(headers: &HeaderMap) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    number("retry-after-ms").or_else(|| number(header::RETRY_AFTER.as_str())?.checked_mul(1_000))
}
