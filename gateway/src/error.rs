//! Every failure as OpenAI's error object: `{"error": {"message", "type", "code", "param"}}`.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use protocol::{ErrorCode, Failure};
use serde_json::{Value, json};
use std::fmt;

/// How long a client waits before it repeats a request that found no capacity.
const BACK_OFF_MS: u64 = 1_000;

/// A failure on its way to a client.
#[derive(Debug)]
pub(crate) struct Refusal {
    failure: Failure,
    retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal of a request that will be accepted after `ms` milliseconds.
    pub(crate) fn until(ms: u64, failure: Failure) -> Self {
        Self { failure, retry_after_ms: Some(ms) }
    }

    /// When a repeat may succeed, in milliseconds from now.
    #[cfg(test)]
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.failure.code.status()
    }

    /// What went wrong.
    pub(crate) fn into_failure(self) -> Failure {
        self.failure
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let busy = failure.code.is_retryable() && matches!(failure.code.status(), 429 | 503);
        Self { failure, retry_after_ms: busy.then_some(BACK_OFF_MS) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.failure.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if self.failure.code == ErrorCode::InvalidApiKey {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"frontdesk\""));
        }
        if let Some(ms) = self.retry_after_ms {
            response.insert_header((header::RETRY_AFTER, ms.div_ceil(1_000).max(1)));
            response.insert_header(("retry-after-ms", ms));
        }
        response.json(object(&self.failure))
    }
}

/// The error object of `failure`.
pub(crate) fn object(failure: &Failure) -> Value {
    let kind = match failure.code.status() {
        401 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    json!({"error": {"message": failure.message, "type": kind, "code": failure.code.name(), "param": failure.param}})
}

/// A defect of ours, which the log explains and the client cannot mend.
pub(crate) fn internal(what: &str) -> Failure {
    tracing::error!(what, "internal error");
    Failure::new(ErrorCode::Internal, "an internal error occurred; repeating the request may help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retryable_overload_says_when_and_nothing_else_does() {
        for code in ErrorCode::ALL {
            let response = Refusal::from(Failure::new(*code, "x")).error_response();
            let busy = matches!(response.status().as_u16(), 429 | 503);
            assert_eq!(response.headers().contains_key("retry-after"), busy, "{code:?}");
            assert_eq!(response.headers().contains_key("retry-after-ms"), busy, "{code:?}");
            assert_eq!(response.headers().contains_key("www-authenticate"), response.status() == 401, "{code:?}");
        }
    }

    #[test]
    fn seconds_are_rounded_up_to_cover_the_milliseconds() {
        let response = Refusal::until(1_001, Failure::new(ErrorCode::RateLimited, "x")).error_response();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!((header("retry-after"), header("retry-after-ms")), (Some("2"), Some("1001")));
    }
}
