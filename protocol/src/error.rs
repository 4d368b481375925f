//! One table decides every error's name, HTTP status and whether a repeat may help.

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $status:literal, $retry:literal;)*) => {
        /// What went wrong, as clients see it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$meta])* #[serde(rename = $name)] $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(ErrorCode::$variant => $status,)* }
            }

            /// Whether the same request may succeed later.
            pub fn is_retryable(self) -> bool {
                match self { $(ErrorCode::$variant => $retry,)* }
            }
        }
    };
}

error_codes! {
    /// A field is missing, malformed or out of range.
    InvalidRequest = "invalid_request", 400, false;
    /// A parameter of OpenAI's interface that Frontdesk does not support.
    UnsupportedParameter = "unsupported_parameter", 400, false;
    /// The prompt and `max_tokens` exceed the model's context.
    ContextLengthExceeded = "context_length_exceeded", 400, false;
    /// No key, or an unknown one.
    InvalidApiKey = "invalid_api_key", 401, false;
    /// No such session for this tenant.
    SessionNotFound = "session_not_found", 404, false;
    /// No such document for this tenant.
    DocumentNotFound = "document_not_found", 404, false;
    /// No such model.
    ModelNotFound = "model_not_found", 404, false;
    /// No such path.
    NotFound = "not_found", 404, false;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, false;
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", 408, true;
    /// Another writer changed the session first.
    Conflict = "conflict", 409, true;
    /// The body is larger than accepted.
    PayloadTooLarge = "payload_too_large", 413, false;
    /// A content type that is not accepted.
    UnsupportedMediaType = "unsupported_media_type", 415, false;
    /// A document that cannot be read.
    UnreadableDocument = "unreadable_document", 422, false;
    /// The tenant's quota is used up.
    RateLimited = "rate_limited", 429, true;
    /// A defect.
    Internal = "internal", 500, true;
    /// The engine could not generate.
    EngineFailed = "engine_failed", 502, true;
    /// No capacity now.
    Overloaded = "overloaded", 503, true;
    /// A part that the request needs does not answer.
    Unavailable = "unavailable", 503, true;
    /// The deadline passed before the answer was complete.
    DeadlineExceeded = "deadline_exceeded", 504, true;
}

/// A failure that is shown to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct Failure {
    /// What went wrong.
    pub code: ErrorCode,
    /// What to do about it, for a person; never holds another tenant's or a customer's words.
    pub message: String,
    /// The request's field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

impl Failure {
    /// A failure that names no field.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None }
    }

    /// A bad request; `param` names the field.
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidRequest, message: message.into(), param: Some(param.into()) }
    }
}
